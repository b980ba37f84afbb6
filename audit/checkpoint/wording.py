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
    """What a library's exception says, without its further lines; a heading takes the line below it along."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[:2] if lines and lines[0].endswith(":") else lines[:1]
    return " ".join(said) or type(error).__name__
