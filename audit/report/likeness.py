"""Which heads write alike, within a layer and between layers: what is redundant with what."""

from pathlib import Path

import msgspec

from audit.report import redundancy_charts as charts
from audit.report.blocks import Figure, Medium, Row, Table
from audit.report.exhibits import read_exhibit
from audit.report.redundancy_blocks import Likeness
from audit.report.wording import counted, number, sentence
from audit.results import Audit

_CELLS = {"screen": 60_000, "print": 20_000}  # of the matrices of all layers drawn
_CLUSTERS = {"screen": 100, "print": 20}


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """Likeness of the heads of one layer."""

    layer: int
    kv_heads: int
    matrix: list[list[float | None]]

    def twins(self) -> tuple[float, int, int]:
        """The largest likeness of two different heads, and which these are."""
        return max(self.pairs(), default=(0.0, 0, 0))

    def pairs(self) -> list[tuple[float, int, int]]:
        """Likeness of every two different heads of which it is known, and which these are."""
        return [
            (abs(value), one, one + 1 + place)
            for one, row in enumerate(self.matrix)
            for place, value in enumerate(row[one + 1 :])
            if value is not None
        ]


class Similarity(msgspec.Struct, frozen=True, kw_only=True):
    """The exhibit."""

    probe: str
    samples: int
    measure: str
    linked: float
    layers: list[Layer]
    between: list[list[float | None]]
    clusters: list[list[tuple[int, int]]]


def likeness(audit: Audit, folder: Path, *, medium: Medium) -> Likeness:
    """Matrices of the layers, the largest likeness between layers, and clusters."""
    exhibit = next((exhibit for exhibit in audit.exhibits if exhibit.kind == "similarity"), None)
    if exhibit is None:
        return _without("No likeness was kept: the model has one head, or too many to compare all pairs.")
    found = read_exhibit(folder, exhibit, Similarity)
    if isinstance(found, str):
        return _without(sentence(found))
    layers = _drawn(found, medium)
    hidden = len(found.layers) - len(layers)
    return Likeness(
        summary=_summary(found),
        figures=_figures(found, layers),
        clusters=_clusters(found, medium),
        note=f"{counted(hidden, 'layer')} with less likeness are in {exhibit.file}." if hidden else "",
    )


def _without(why: str) -> Likeness:
    return Likeness(summary=why, figures=(), clusters=None, note="")


def _drawn(found: Similarity, medium: Medium) -> list[Layer]:
    """The layers whose heads are most alike, as many as a page bears, in their order; lone heads have no matrix."""
    room, chosen = _CELLS[medium], []
    for layer in sorted(found.layers, key=Layer.twins, reverse=True):
        room -= len(layer.matrix) ** 2
        if len(layer.matrix) > 1 and room >= 0:
            chosen.append(layer)
    return sorted(chosen, key=lambda layer: layer.layer)


def _summary(found: Similarity) -> str:
    if not any(value is not None for layer in found.layers for row in layer.matrix for value in row):
        return f"No likeness could be computed: what the heads write on {found.probe} is not finite."
    heads = sum(len(group) for group in found.clusters)
    linked = (
        f"{counted(heads, 'head')} in {counted(len(found.clusters), 'cluster')}" if heads else "No two heads"
    )
    return (
        f"{linked} write alike: a likeness of at least {number(found.linked)}. It is the {found.measure}, on "
        f"{counted(found.samples, 'sample')} of {found.probe}; 1 is the same up to rotation and scale, 0 nothing in "
        "common. Alike is not yet superfluous: only taking out tells."
    )


def _figures(found: Similarity, layers: list[Layer]) -> tuple[Figure, ...]:
    figures = []
    if any(layer.pairs() for layer in layers):
        top = max(layers, key=Layer.twins)
        value, one, two = top.twins()
        fact = f"most alike are heads {one} and {two} of layer {top.layer}, with {number(value)}"
        figures.append(
            Figure(
                picture=charts.matrices([(each.layer, each.matrix) for each in layers]),
                alt=f"Likeness of the heads within each layer: {fact}.",
                captions=(Row(label="Within layers", text=sentence(f"heads by heads; {fact}")),),
                table=None,
            )
        )
    if between := _between(found):
        numbers = [layer.layer for layer in found.layers]
        value, one, two = max(between)
        fact = f"most alike are heads of layers {one} and {two}, with {number(value)}"
        figures.append(
            Figure(
                picture=charts.between(numbers, found.between),
                alt=f"Largest likeness of heads between layers: {fact}.",
                captions=(Row(label="Between layers", text=sentence(f"the most similar pair; {fact}")),),
                table=None,
            )
        )
    return tuple(figures)


def _between(found: Similarity) -> list[tuple[float, int, int]]:
    """The largest likeness of heads of every two layers of which it is known, and which these are."""
    return [
        (value, found.layers[one].layer, found.layers[two].layer)
        for one, row in enumerate(found.between)
        for two, value in enumerate(row)
        if one < two and value is not None
    ]


def _clusters(found: Similarity, medium: Medium) -> Table | None:
    if not found.clusters:
        return None
    shown = sorted(found.clusters, key=len, reverse=True)[: _CLUSTERS[medium]]
    return Table(
        head=("Heads", "Members, layer.head"),
        rows=tuple(
            (str(len(group)), ", ".join(f"{layer}.{head}" for layer, head in group)) for group in shown
        ),
    )
