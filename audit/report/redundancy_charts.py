"""Charts of what a model could do without: drop curves, and which heads write alike."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from audit.report.charts import numbers
from audit.report.drawing import Picture
from audit.report.heat import Frame, Matrix, Panel, heat_map
from audit.report.scales import PLAIN, Scale, Spec, base, filled, label_every, spec, step

_CURVE = (300, 150)  # pixels
_MATRIX, _ROW = 84, 6  # pixels a matrix aims at, and matrices side by side
_BETWEEN = 260
_ALIKE = Scale("likeness", 0.0, 1.0)


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


def matrices(likeness: Sequence[tuple[int, Matrix]]) -> Picture:
    """A small heat map per layer, heads by heads, layers side by side."""
    heads = max(len(matrix) for _, matrix in likeness)
    side = max(2, min(18, round(_MATRIX / heads)))
    every = label_every(heads, side, 14)
    panels = [
        Panel(
            [[None if value is None else abs(value) for value in row] for row in matrix],
            numbers(len(matrix), every),
            numbers(len(matrix), every),
            title=f"layer {layer}",
        )
        for layer, matrix in likeness
    ]
    return heat_map(panels, scale=_ALIKE, frame=Frame(side, side, row=_ROW))


def between(layers: Sequence[int], matrix: Matrix) -> Picture:
    """Layers by layers: how alike the most similar pair of heads is."""
    side = step(_BETWEEN, len(layers), 24)
    every = label_every(len(layers), side)
    labels = [str(layer) if place % every == 0 else "" for place, layer in enumerate(layers)]
    values = [
        [max(0.0, value) if value is not None and math.isfinite(value) else None for value in row]
        for row in matrix
    ]
    frame = Frame(side, side, "layer", "layer")
    return heat_map([Panel(values, labels, labels)], scale=_ALIKE, frame=frame)
