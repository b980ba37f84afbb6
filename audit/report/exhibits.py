"""Reads the exhibits of an audit and shows patterns; a file that is not what the audit lists is not drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from audit.identity import digest_of_file
from audit.report import charts
from audit.report.blocks import Figure, PatternSection, Row
from audit.report.places import place
from audit.report.wording import anchor, number, sentence
from audit.results import Audit, Exhibit
from audit.results.trainability import Diagram

Content = TypeVar("Content")

_LARGEST = 64  # tokens a side
_LONGEST_TOKEN = 24


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """An attention pattern [query][key] of one head on one text; `tokens` is None where the text is private."""

    layer: int
    head: int
    probe: str
    tokens: list[str] | None
    pattern: list[list[float | None]]

    def __post_init__(self) -> None:
        """Refuse what is no matrix of at most 64 x 64."""
        sides = {len(row) for row in self.pattern} | {len(self.pattern)}
        if len({len(row) for row in self.pattern}) != 1 or not all(0 < side <= _LARGEST for side in sides):
            raise ValueError(f"its pattern is no matrix of at most {_LARGEST} by {_LARGEST}")

    def links(self) -> list[tuple[float, int, int]]:
        """Weight, query and key of every link that has a weight."""
        return [
            (weight, query, key)
            for query, row in enumerate(self.pattern)
            for key, weight in enumerate(row)
            if weight is not None
        ]


def read_pattern(folder: Path, exhibit: Exhibit) -> Pattern | str:
    """The pattern in the exhibit's file, or the reason why there is none to show."""
    return read_exhibit(folder, exhibit, Pattern)


def read_exhibit(folder: Path, exhibit: Exhibit, kind: type[Content]) -> Content | str:
    """What the exhibit's file holds, or the reason why it cannot be shown."""
    path = (folder / exhibit.file).resolve()
    if not path.is_relative_to(folder.resolve()):
        return "not shown: its file lies outside the audit's folder"
    if not path.is_file():
        return "not shown: its file is missing"
    if digest_of_file(path) != exhibit.sha256:
        return "not shown: its file was changed after the audit"
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        return f"not shown: {error}"


def diagram_of(audit: Audit, folder: Path) -> Diagram | str:
    """The trainability diagram the audit holds, or the reason why there is none to show."""
    for exhibit in audit.exhibits:
        if exhibit.kind == "diagram":
            return read_exhibit(folder, exhibit, Diagram)
    reasons = [each.reason for each in audit.coverage.skipped if each.metric == "trainability"]
    return "; ".join(reasons) or "none was made"


def pattern_sections(
    audit: Audit, folder: Path, *, limit: int, link: Callable[[str], str]
) -> tuple[PatternSection, ...]:
    """Sections for the first `limit` patterns; `link` gives the anchor of the finding with an id, or nothing."""
    patterns = [exhibit for exhibit in audit.exhibits if exhibit.kind == "pattern"]
    return tuple(
        _section(audit, folder, exhibit, target=link(exhibit.finding or "")) for exhibit in patterns[:limit]
    )


def pattern_anchor(exhibit: Exhibit) -> str:
    """Where the page shows `exhibit`."""
    return anchor("exhibit", exhibit.id)


def _section(audit: Audit, folder: Path, exhibit: Exhibit, *, target: str) -> PatternSection:
    found = read_exhibit(folder, exhibit, Pattern)
    finding = Row(label=exhibit.finding, text="", target=target) if exhibit.finding and target else None
    if isinstance(found, str):
        return PatternSection(
            anchor=pattern_anchor(exhibit),
            title=exhibit.id,
            finding=finding,
            figure=None,
            tokens=(),
            note=found,
        )
    where = place(audit.coverage, found.layer, found.head)
    return PatternSection(
        anchor=pattern_anchor(exhibit),
        title=where[:1].upper() + where[1:],
        finding=finding,
        figure=_figure(found, where),
        tokens=tuple(_numbered(found.tokens or [])),
        note="" if found.tokens else "The text is private: positions stand for its tokens.",
    )


def _figure(found: Pattern, where: str) -> Figure:
    facts = _facts(found)
    return Figure(
        picture=charts.pattern(found.pattern, tokens=found.tokens),
        alt=f"Attention pattern of {where} on one text of {found.probe}: {facts}.",
        captions=(Row(label=f"{found.probe}, {len(found.pattern)} tokens", text=sentence(facts)),),
        table=None,
    )


def _facts(found: Pattern) -> str:
    """Which key receives most, and how much the strongest single link carries."""
    links = found.links()
    if not links:
        return "no link has a weight"
    received = [0.0] * len(found.pattern[0])
    for weight, _, key in links:
        received[key] += weight / len(found.pattern)
    top = max(range(len(received)), key=received.__getitem__)
    weight, query, key = max(links)
    return (
        f"key {top} receives most, {number(received[top])} of each query's attention on average; "
        f"the strongest link is query {query} to key {key} with {number(weight)}"
    )


def _numbered(tokens: list[str]) -> list[str]:
    return [f"{index} {token.strip()[:_LONGEST_TOKEN]}" for index, token in enumerate(tokens)]
