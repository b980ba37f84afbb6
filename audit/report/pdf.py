"""From a page to a tagged PDF/A-3a, set by a child process with limits of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from audit.errors import InternalFault, MachineFault
from audit.report import templating

MEMORY = 1 << 30  # bytes of data the child may hold; a report of 30 x 9 heads takes about a third
_PRESS = "audit.report.press"  # named, not imported: the parent has no need of the typesetter
PATIENCE = 180  # seconds; the same report takes about five


def set_in_child(page: str, *, timestamp: int, memory: int = MEMORY, patience: float = PATIENCE) -> bytes:
    """The PDF of an HTML page."""
    with press(timestamp=timestamp, memory=memory, patience=patience) as set_page:
        return set_page(page, {})


@contextmanager
def press(
    *, timestamp: int, memory: int = MEMORY, patience: float = PATIENCE
) -> Iterator[Callable[[str, Mapping[str, bytes]], bytes]]:
    """What sets one page: the child starts at once and loads its typesetter while the page is still composed."""
    command = [sys.executable, "-P", "-m", _PRESS, str(memory), str(timestamp)]
    pipe = subprocess.PIPE
    child = subprocess.Popen(  # noqa: S603 - our own module, nothing of the audit on the command line
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(timestamp)
    )
    with child:
        try:
            yield lambda page, attached: _set(child, _packed(page, attached), memory, patience)
        finally:
            child.kill()  # one that is done does not mind


def _packed(page: str, attached: Mapping[str, bytes]) -> bytes:
    """What the child reads: a line of JSON with the sizes, then the page and each file."""
    body = page.encode()
    sizes = {"page": len(body), "attached": {name: len(data) for name, data in attached.items()}}
    return b"".join([json.dumps(sizes).encode(), b"\n", body, *attached.values()])


def _set(child: subprocess.Popen[bytes], given: bytes, memory: int, patience: float) -> bytes:
    try:
        out, err = child.communicate(given, timeout=patience)
    except subprocess.TimeoutExpired:
        raise MachineFault(
            f"the PDF was not ready after {patience:g} seconds: use --no-pdf, or a faster machine"
        ) from None
    if child.returncode == MachineFault.exit_code or child.returncode < 0:  # below 0: killed, as for memory
        raise MachineFault(f"the PDF needed more than {memory >> 20} MiB of memory: use --no-pdf")
    if child.returncode != 0:
        said = err.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
        raise InternalFault(f"the PDF could not be set: {said[-1]}")
    return out


def _environment(timestamp: int) -> dict[str, str]:
    """All that the child sees, so that the caller's variables cannot change a byte of the PDF."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where the user has none
    own = str(Path(__file__).parents[2])  # first, so that nothing else called `audit` is taken for ours
    return {
        "HOME": home
        if home.startswith(os.sep)
        else tempfile.gettempdir(),  # fontconfig keeps its cache there
        "FONTCONFIG_FILE": str(templating.template_folder() / "fonts" / "fonts.conf"),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PATH": os.defpath,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join([own, *filter(None, sys.path)]),
        "SOURCE_DATE_EPOCH": str(timestamp),  # read by the font library for the subsets it writes
    }
