"""The most memory that a piece of work needs beyond what its process held before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_RESET: Final = Path("/proc/self/clear_refs")


class Peak:
    """Filled in when the work is done."""

    bytes = 0


@contextmanager
def peak_beyond() -> Iterator[Peak]:
    """Resident memory at its highest while the block runs, less what it was before (Linux; elsewhere 0)."""
    peak, before = Peak(), 0
    if _RESET.exists():
        _RESET.write_text("5", "ascii")  # the high-water mark starts anew
        before = _kibibytes("VmRSS")
    yield peak
    if _RESET.exists():
        peak.bytes = 1024 * max(0, _kibibytes("VmHWM") - before)


def _kibibytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text("ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
