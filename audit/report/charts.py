"""Chart definitions, one per kind of picture: HTML and PDF draw the same ones, a theme gives the colours."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from audit.report.cells import Cell
from audit.report.drawing import Picture
from audit.report.heat import Frame, Matrix, Panel, heat_map
from audit.report.scales import (
    PLAIN,
    Scale,
    Spec,
    base,
    filled,
    label_every,
    outer_powers,
    spec,
    step,
)

_GRID = (260, 220)  # pixels a grid aims at
_SMALL = (100, 110)
_PROFILE = (300, 130)
_PATTERN = 420
_LONGEST_TOKEN = 14
_LEGIBLE = 8  # pixels a row of words needs


class Point(NamedTuple):
    """One layer of one line of a profile; a missing value breaks the line."""

    series: str
    layer: int
    value: float | None
    low: float | None
    high: float | None


def grid(
    cells: Sequence[Cell],
    *,
    layers: int,
    heads: int,
    scale: Scale,
    marked: Sequence[tuple[int, int]] = (),
    small: bool = False,
) -> Picture:
    """Heat map of layers (down) by heads (across); cells without a value keep the ground, `marked` are ringed.

    A `small` one is made for three side by side on paper.
    """
    values: list[list[float | None]] = [[None] * heads for _ in range(layers)]
    for cell in cells:
        if cell.layer is not None and cell.head is not None:
            values[cell.layer][cell.head] = cell.value
    (across, down), least = (_SMALL, 1) if small else (_GRID, 4)
    wide, tall = step(across, heads, 20, least), step(down, layers, 16, least)
    panel = Panel(
        values,
        numbers(layers, label_every(layers, tall, 22 if small else 11)),
        numbers(heads, label_every(heads, wide)),
        rings=marked,
    )
    return heat_map([panel], scale=scale, frame=Frame(wide, tall, "layer", "head"))


def numbers(count: int, every: int) -> list[str]:
    """Labels from 0 of which all but every so many are left out."""
    return [str(index) if index % every == 0 else "" for index in range(count)]


def profile(points: Sequence[Point], *, scale: Scale) -> Spec:
    """Lines over depth with their 95% bands, one per series."""
    several = len({point.series for point in points}) > 1
    ticks = _ticks(points) if scale.log else None
    chart = _profile(1 + max(point.layer for point in points), scale, ticks, several=several)
    return filled(chart, points=[point._asdict() for point in points])


@lru_cache(maxsize=128)
def _profile(layers: int, scale: Scale, ticks: tuple[float, ...] | None, *, several: bool) -> Spec:
    """The lines without their points; `ticks` are those of a logarithmic scale."""
    x = alt.X("layer:Q", axis=_layer_axis(layers), scale=alt.Scale(domain=[-0.3, layers - 0.7], nice=False))
    heights = alt.Scale(type="log") if scale.log else alt.Scale(zero=scale.low == 0)
    y = alt.Y("value:Q", title=scale.title, scale=heights, axis=_value_axis(ticks))
    low = alt.Y("low:Q", title=scale.title, scale=heights)
    fill = alt.Fill("series:N", sort=None, legend=None)
    between = base("points").encode(x=x, y=low, y2="high:Q", fill=fill)
    chart = alt.layer(
        between.mark_area(opacity=0.22, aria=False),
        between.mark_bar(width=1, opacity=0.6, aria=False),
        _line(several=several).encode(x=x, y=y),
        base("points").mark_circle(size=12, opacity=1, aria=False).encode(x=x, y=y, fill=fill),
    )
    return spec(chart.properties(width=_PROFILE[0], height=_PROFILE[1]))


def pattern(weights: Matrix, *, tokens: Sequence[str] | None) -> Picture:
    """Heat map of one attention pattern: queries down, keys across, labelled by position and token."""
    queries, keys = len(weights), len(weights[0])
    pixels = step(_PATTERN, max(queries, keys), 18)
    top = max((value for row in weights for value in row if value is not None), default=1.0)
    panel = Panel(weights, _labels(queries, tokens, pixels), _labels(keys, tokens, pixels))
    frame = Frame(pixels, pixels, "query", "key")
    return heat_map([panel], scale=Scale("attention", 0.0, top), frame=frame)


def _line(*, several: bool) -> alt.Chart:
    """The line of each series; dashed apart where there are several, for black and white."""
    line = base("points").mark_line(strokeWidth=1.5, aria=False)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke") if several else None
    channels: dict[str, Any] = {"stroke": alt.Stroke("series:N", sort=None, legend=legend)}
    if several:
        channels["strokeDash"] = alt.StrokeDash("series:N", sort=None, legend=legend)
    styled: alt.Chart = line.encode(**channels)
    return styled


def _layer_axis(layers: int) -> alt.Axis:
    shown = list(range(0, layers, label_every(layers, _PROFILE[0] / layers)))
    return alt.Axis(title="layer", values=shown, format="d", grid=False)


def _value_axis(ticks: Sequence[float] | None) -> alt.Axis:
    if ticks is None:
        return alt.Axis(tickCount=5, labelExpr=PLAIN)
    return alt.Axis(values=list(ticks), labelExpr=PLAIN)


def _ticks(points: Sequence[Point]) -> tuple[float, ...]:
    values = [point.value for point in points if point.value]
    return tuple(outer_powers(min(values), max(values)))


def _labels(count: int, tokens: Sequence[str] | None, pixels: int) -> list[str]:
    """Token and position; the position alone where a token has letters that not every font has."""
    if tokens is None or len(tokens) != count or pixels < _LEGIBLE:
        return numbers(count, label_every(count, pixels, 11))
    return [
        _label(index, token.replace("▁", " ").replace("Ġ", " ").strip()) for index, token in enumerate(tokens)
    ]


def _label(index: int, token: str) -> str:
    shown = token[:_LONGEST_TOKEN] if token.isascii() and token.isprintable() else ""
    return f"{shown} {index}".strip()
