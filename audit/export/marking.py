"""Text as Markdown that means nothing but itself: no tag, link, mention or command comes from it."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from audit.export.saying import plain

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]|~$#@!])")
_LEADING: Final = re.compile(r"^([-+=>]|\d+(?=[.)]))")
# Hosts look for these in the finished page, where a backslash is gone; inside code they do not.
_REFERENCE: Final = re.compile(r"([@#!&%](?=\w)|\w+://|www\.)", re.IGNORECASE)
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def text(words: str) -> str:
    """One line of prose."""
    parts = _REFERENCE.split(plain(words) or "(nothing)")
    said = "".join(f"`{part}`" if index % 2 else _escaped(part) for index, part in enumerate(parts))
    return _LEADING.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", said)


def _escaped(part: str) -> str:
    """`part` with what is markup anywhere in a line taken literally."""
    return re.sub(r"[&<>]", lambda found: _ENTITIES[found[0]], _SPECIAL.sub(r"\\\1", part))


def code(words: str) -> str:
    """One line of code, whatever backticks stand in it."""
    kept = plain(words).replace("|", "¦")  # a cell of a table ends at a bar, in code too
    longest = max((len(run) for run in re.findall(r"`+", kept)), default=0)
    fence = "`" * (longest + 1)
    padded = f" {kept} " if kept.startswith("`") or kept.endswith("`") or not kept.strip() else kept
    return f"{fence}{padded}{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the cells are Markdown already."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
