"""Pictures of the section on groups of people: where heads stand out, and one pair of sentences seen by one head."""

import json

import altair as alt

from audit.report.scales import Scale, Spec, base, colour, filled, label_every, numbered, spec, step
from audit.results.demographics import SkewAxis, SkewExample

_WIDTH, _ROW = 420, 18  # pixels: of a chart, and of one line of cells in it
_LETTER = 6  # pixels of a name of an axis
_WORD = 40  # pixels that a word takes across, at most


def overview(axes: list[SkewAxis], *, layers: int) -> Spec:
    """Heads that stand out, by axis (down) and layer (across)."""
    most = max(max(axis.by_layer) for axis in axes)
    side, longest = step(_WIDTH, layers, 24), max(len(axis.name) for axis in axes)
    cells = base("cells").mark_rect(aria=False)
    drawn = cells.encode(
        x=alt.X(**numbered("layer", layers, every=label_every(layers, side))),
        y=alt.Y("axis:N", sort=None, title=None, axis=alt.Axis(minExtent=_LETTER * longest)),
        color=colour(Scale("heads", 0.0, float(max(most, 1)))),
    )
    return filled(
        spec(drawn.properties(width=alt.Step(side), height=alt.Step(_ROW))),
        cells=[
            {"axis": axis.name.replace("_", " "), "layer": layer, "value": count}
            for axis in axes
            for layer, count in enumerate(axis.by_layer)
        ],
    )


def pair(example: SkewExample) -> Spec:
    """Attention between the term and each word (across) of two sentences (down); without colour where it does not count."""
    words = [word or "…" for word in example.words]
    known = [value for row in example.attention for value in row if value is not None]
    axis = alt.Axis(
        title=None, labelAngle=-40, labelExpr=f"{json.dumps(words)}[datum.value]", labelOverlap=False
    )
    drawn = (
        base("cells")
        .mark_rect(aria=False)
        .encode(
            x=alt.X("word:O", axis=axis, scale=alt.Scale(domain=list(range(len(words))))),
            y=alt.Y("term:N", sort=None, title=None, scale=alt.Scale(domain=list(example.terms))),
            color=colour(Scale("attention", 0.0, max(known, default=1.0))),
        )
    )
    side = step(_WIDTH, len(words), _WORD)
    return filled(
        spec(drawn.properties(width=alt.Step(side), height=alt.Step(_ROW))),
        cells=[
            {"word": place, "term": term, "value": value}
            for term, row in zip(example.terms, example.attention, strict=True)
            for place, value in enumerate(row)
            if value is not None
        ],
    )
