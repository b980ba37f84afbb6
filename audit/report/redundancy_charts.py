"""Charts of what a model could do without: drop curves, and which heads write alike."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from audit.report.scales import PLAIN, Scale, Spec, base, colour, filled, label_every, numbered, spec, step

_CURVE = (300, 150)  # pixels
_MATRIX, _ROW = 84, 6  # pixels a matrix aims at, and matrices side by side
_BETWEEN = 260
_ALIKE = Scale("likeness", 0.0, 1.0)

Matrix = Sequence[Sequence[float | None]]


class Drop(NamedTuple):
    """A point of a drop curve; an effect that is not finite is not drawn."""

    dropped: int
    effect: float | None
    low: float | None
    high: float | None


def drop_curve(points: Sequence[Drop], *, margin: float, parts: str) -> Spec:
    """Cost against the number of parts left out, with 95% intervals, and the margin as a dashed line."""
    last = max(point.dropped for point in points)
    x = alt.X(
        "dropped:Q",
        axis=alt.Axis(title=f"{parts} left out", values=list(range(last + 1)), format="d", grid=False),
        scale=alt.Scale(domain=[0, last + 0.3], nice=False),
    )
    y = alt.Y("effect:Q", title="cost", axis=alt.Axis(tickCount=5, labelExpr=PLAIN))
    both = alt.Scale(domain=["cost", "margin"])
    stroke = alt.Stroke("series:N", legend=None, scale=both)
    fill = alt.Fill("series:N", legend=None, scale=both)
    line = base("points").encode(x=x, y=y)
    chart = alt.layer(
        base("margin").mark_rule(strokeDash=[4, 3], aria=False).encode(y=y, stroke=stroke),
        line.mark_rule(strokeWidth=1.5, aria=False).encode(
            y=alt.Y("low:Q", title="cost"), y2="high:Q", stroke=stroke
        ),
        line.mark_line(strokeWidth=1.5, aria=False).encode(stroke=stroke),
        line.mark_circle(size=28, opacity=1, aria=False).encode(fill=fill),
    )
    drawn = [point._asdict() for point in points if point.effect is not None]
    start = {"dropped": 0, "effect": 0.0, "low": 0.0, "high": 0.0}
    return filled(
        spec(chart.properties(width=_CURVE[0], height=_CURVE[1])),
        points=[{**point, "series": "cost"} for point in (start, *drawn)],
        margin=[{"effect": margin, "series": "margin"}],
    )


def matrices(likeness: Sequence[tuple[int, Matrix]]) -> Spec:
    """A small heat map per layer, heads by heads, layers side by side."""
    heads = max(len(matrix) for _, matrix in likeness)
    side = max(2, min(18, round(_MATRIX / heads)))
    every = label_every(heads, side, 14)
    cells = (
        base("cells")
        .mark_rect(aria=False)
        .encode(
            x=alt.X(**_heads("other", heads, every)),
            y=alt.Y(**_heads("head", heads, every)),
            color=colour(_ALIKE),
        )
    )
    title = alt.Header(labelFontSize=10, labelPadding=2, labelExpr="'layer ' + datum.value")
    drawn = cells.properties(width=alt.Step(side), height=alt.Step(side)).facet(
        facet=alt.Facet("layer:O", title=None, header=title), columns=_ROW, spacing=10
    )
    return filled(
        spec(drawn),
        cells=[
            {"layer": layer, "head": head, "other": other, "value": abs(value)}
            for layer, matrix in likeness
            for head, row in enumerate(matrix)
            for other, value in enumerate(row)
            if value is not None
        ],
    )


def _heads(field: str, count: int, every: int) -> dict[str, Any]:
    """An axis of heads without a title: the caption says what it is, once for all matrices."""
    channel = numbered(field, count, every=every)
    channel["axis"].title = None
    return channel


def between(layers: Sequence[int], matrix: Matrix) -> Spec:
    """Layers by layers: how alike the most similar pair of heads is."""
    side = step(_BETWEEN, len(layers), 24)
    every = label_every(len(layers), side)
    labels = [str(layer) for layer in layers]
    shown = alt.Axis(values=labels[::every], labelAngle=0)
    scale = alt.Scale(domain=labels)
    chart = (
        base("cells")
        .mark_rect(aria=False)
        .encode(
            x=alt.X("other:O", sort=None, scale=scale, axis=shown, title="layer"),
            y=alt.Y("layer:O", sort=None, scale=scale, axis=shown, title="layer"),
            color=colour(_ALIKE),
        )
        .properties(width=alt.Step(side), height=alt.Step(side))
    )
    cells = [
        {"layer": labels[one], "other": labels[two], "value": max(0.0, value)}
        for one, row in enumerate(matrix)
        for two, value in enumerate(row)
        if value is not None and math.isfinite(value)
    ]
    return filled(spec(chart), cells=cells)
