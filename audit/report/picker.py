"""Every head as a small picture of what it attends to, to be picked for its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from audit.report.anatomy import names, title_of
from audit.report.cells import cells_of
from audit.report.exhibits import read_exhibit
from audit.report.heat import thumbnail
from audit.report.places import place
from audit.report.wording import anchor, counted, number, sentence
from audit.results import Audit
from audit.results.thumbnails import Sheet, Thumbnails

_MOST = 2048  # heads that have a button

Values = Mapping[tuple[int, int], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadButton:
    """One head."""

    anchor: str
    head: str
    label: str  # for whoever does not see the picture
    findings: int
    values: str  # one for each of the names of the picker, joined by bars; empty where not measured
    picture: Markup | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picker:
    """Layers in rows, their heads beside each other."""

    note: str
    names: str  # what the values are, joined by bars
    layers: tuple[tuple[str, tuple[HeadButton, ...]], ...]


def picker(audit: Audit, folder: Path) -> Picker:
    """A button for every head of every layer, with its thumbnail where the audit kept one."""
    heads = sum(layer.heads for layer in audit.coverage.layers)
    if heads > _MOST:
        return Picker(note=f"{counted(heads, 'head')} are too many to show one by one.", names="", layers=())
    sheets, note = _sheets(audit, folder)
    titles, values = _values(audit)
    flagged = [(finding.layer, finding.head) for finding in audit.findings]

    def button(layer: int, head: int) -> HeadButton:
        found, sheet = flagged.count((layer, head)), sheets.get(layer)
        where = sentence(place(audit.coverage, layer, head)).rstrip(".")
        return HeadButton(
            anchor=anchor("head", str(layer), str(head)),
            head=str(head),
            label=where + (f", {counted(found, 'finding')}" if found else ""),
            findings=found,
            values="|".join(values.get((layer, head), [])),
            picture=thumbnail(sheet.of(head), sheet.columns) if sheet and head < sheet.heads else None,
        )

    layers = tuple(
        (str(layer.index), tuple(button(layer.index, head) for head in range(layer.heads)))
        for layer in audit.coverage.layers
    )
    return Picker(note=note, names="|".join(titles), layers=layers)


def _sheets(audit: Audit, folder: Path) -> tuple[dict[int, Sheet], str]:
    exhibit = next((each for each in audit.exhibits if each.kind == "thumbnails"), None)
    if exhibit is None:
        return {}, "This audit kept no pictures of its patterns."
    found = read_exhibit(folder, exhibit, Thumbnails)
    if isinstance(found, str):
        return {}, f"Pictures of its patterns are {found}."
    text = f"one text of {found.probe} ({counted(found.tokens, 'token')})"
    note = f"What each head attends to in {text}: queries down, keys across, the brighter the more."
    return {sheet.layer: sheet for sheet in found.sheets}, note


def _values(audit: Audit) -> tuple[list[str], Values]:
    """Titles of what was measured of heads, and each head's values in that order, on the first probe of each."""
    measured = []
    for name in names(audit, "head"):
        probe, measurement = next(iter(audit.measurements[name].items()))
        measured.append((f"{title_of(audit, name)}, {probe}".replace("|", "/"), cells_of(measurement)))
    values: dict[tuple[int, int], list[str]] = {}
    for column, (_, cells) in enumerate(measured):
        for cell in cells:
            if cell.layer is not None and cell.head is not None:
                row = values.setdefault((cell.layer, cell.head), [""] * len(measured))
                row[column] = "" if cell.value is None else number(cell.value)
    return [title for title, _ in measured], values
