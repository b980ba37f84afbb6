"""How names and paths are written into a message: one line, whatever characters they hold."""

from collections.abc import Iterable
from pathlib import Path

_SHOWN = 3  # names written out before the rest is only counted


def quoted(path: Path | str) -> str:
    """`path` in quotes, with line breaks and undecodable bytes escaped."""
    return repr(str(path))


def listed(names: Iterable[str]) -> str:
    """The first three names, sorted and quoted, and how many more there are."""
    ordered = sorted(names)
    rest = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(map(repr, ordered[:_SHOWN])) + rest


def first_line(error: BaseException) -> str:
    """What a library's exception says, without its further lines."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
