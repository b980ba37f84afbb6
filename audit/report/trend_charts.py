"""Pictures of a series: a metric from audit to audit."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt

from audit.report.scales import PLAIN, Spec, base, filled, label_every, spec

_SIZE = (300, 140)


class Mark(NamedTuple):
    """One step of one line."""

    series: str
    step: int
    value: float
    low: float | None
    high: float | None


def course(marks: Sequence[Mark], *, labels: Sequence[str], title: str) -> Spec:
    """Lines over the steps with their 95% bands, one per series."""
    return filled(_course(tuple(labels), title), points=[mark._asdict() for mark in marks])


@lru_cache(maxsize=128)
def _course(labels: tuple[str, ...], title: str) -> Spec:
    every = label_every(len(labels), _SIZE[0] / len(labels), 40)
    names = " : ".join(f"datum.value == {index} ? {_quoted(label)}" for index, label in enumerate(labels))
    axis = alt.Axis(
        title=None,
        values=list(range(0, len(labels), every)),
        labelExpr=f"{names} : ''",
        labelAngle=-30,
        labelLimit=110,
        grid=False,
    )
    x = alt.X("step:Q", axis=axis, scale=alt.Scale(domain=[-0.2, len(labels) - 0.8], nice=False))
    heights = alt.Scale(zero=False)
    y = alt.Y("value:Q", title=title, scale=heights, axis=alt.Axis(tickCount=5, labelExpr=PLAIN))
    low = alt.Y("low:Q", title=title, scale=heights)
    fill = alt.Fill("series:N", sort=None, legend=None)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke")
    stroke = alt.Stroke("series:N", sort=None, legend=legend)
    dash = alt.StrokeDash("series:N", sort=None, legend=legend)
    between = base("points").encode(x=x, y=low, y2="high:Q", fill=fill)
    chart = alt.layer(
        between.mark_area(opacity=0.22, aria=False),
        base("points")
        .mark_line(strokeWidth=1.5, aria=False)
        .encode(x=x, y=y, stroke=stroke, strokeDash=dash),
        base("points").mark_circle(size=12, opacity=1, aria=False).encode(x=x, y=y, fill=fill),
    )
    return spec(chart.properties(width=_SIZE[0], height=_SIZE[1]))


def _quoted(text: str) -> str:
    """A label inside an expression of Vega: letters, digits and a few marks, whatever the folder was called."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in " -_.") else "?" for letter in text
    )
    return f"'{plain[:40]}'"
