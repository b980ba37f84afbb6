"""Chart definitions, one per kind of picture: HTML and PDF draw the same ones, a theme gives the colours."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from audit.report.cells import Cell
from audit.report.scales import (
    PLAIN,
    Scale,
    Spec,
    base,
    colour,
    filled,
    label_every,
    numbered,
    outer_powers,
    spec,
    step,
)

_GRID = (260, 220)  # pixels a grid aims at
_PROFILE = (300, 130)
_PATTERN = 420
_LONGEST_TOKEN = 14


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
) -> Spec:
    """Heat map of layers (down) by heads (across); cells without a value keep the background, `marked` are ringed."""
    return filled(
        _grid(layers, heads, scale),
        cells=[{"layer": c.layer, "head": c.head, "value": c.value} for c in cells if c.value is not None],
        rings=[{"layer": layer, "head": head} for layer, head in marked],
    )


@lru_cache(
    maxsize=128
)  # most metrics of an audit share a scale, and Altair takes a tenth of a second for a chart
def _grid(layers: int, heads: int, scale: Scale) -> Spec:
    """The heat map without its cells."""
    wide, tall = step(_GRID[0], heads, 20), step(_GRID[1], layers, 16)
    across = alt.X(**numbered("head", heads, every=label_every(heads, wide)))
    down = alt.Y(**numbered("layer", layers, every=label_every(layers, tall, 11)))
    heat = base("cells").mark_rect(aria=False).encode(x=across, y=down, color=colour(scale))
    ring = base("rings").encode(x=across, y=down)
    outer = ring.mark_rect(aria=False, fillOpacity=0, stroke="white", strokeWidth=3)
    inner = ring.mark_rect(aria=False, fillOpacity=0, stroke="black", strokeWidth=1.5)
    return spec(alt.layer(heat, outer, inner).properties(width=alt.Step(wide), height=alt.Step(tall)))


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


def pattern(weights: Sequence[Sequence[float | None]], *, tokens: Sequence[str] | None) -> Spec:
    """Heat map of one attention pattern: queries down, keys across, labelled by position and token."""
    queries, keys = len(weights), len(weights[0])
    down = _labels(queries, tokens)
    across = _labels(keys, tokens)
    pixels = step(_PATTERN, max(queries, keys), 18)
    top = max((value for row in weights for value in row if value is not None), default=1.0)
    chart = (
        base("links")
        .mark_rect(aria=False)
        .encode(
            x=alt.X(
                "key:O", sort=None, scale=alt.Scale(domain=across), axis=_tokens(across, pixels, angle=-90)
            ),
            y=alt.Y("query:O", sort=None, scale=alt.Scale(domain=down), axis=_tokens(down, pixels, angle=0)),
            color=colour(Scale("attention", 0.0, top)),
        )
        .properties(width=alt.Step(pixels), height=alt.Step(pixels))
    )
    links = [
        {"query": down[query], "key": across[key], "value": value}
        for query, row in enumerate(weights)
        for key, value in enumerate(row)
        if value is not None
    ]
    return filled(spec(chart), links=links)


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


def _tokens(labels: Sequence[str], pixels: int, *, angle: int) -> alt.Axis:
    """An axis of tokens, or of every so many positions where tokens are not to be shown."""
    plain = all(label.isdigit() for label in labels)
    every = label_every(len(labels), pixels) if plain else 1
    return alt.Axis(
        values=list(labels[::every]), labelAngle=angle, labelLimit=90, labelFontSize=min(9, pixels + 1)
    )


def _labels(count: int, tokens: Sequence[str] | None) -> list[str]:
    """Token and position; the position alone where a token has letters that not every font has."""
    if tokens is None or len(tokens) != count:
        return [str(index) for index in range(count)]
    return [
        _label(index, token.replace("▁", " ").replace("Ġ", " ").strip()) for index, token in enumerate(tokens)
    ]


def _label(index: int, token: str) -> str:
    shown = token[:_LONGEST_TOKEN] if token.isascii() and token.isprintable() else ""
    return f"{shown} {index}".strip()
