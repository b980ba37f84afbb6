"""The chart of a trainability diagram: phases around a configuration, its tokens by depth, and what was measured."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from audit.report.scales import PLAIN, Spec, base, filled, outer_powers, spec
from audit.results.trainability import Diagram, Grid, Plane, Trainability

_SIZE = (250, 170)  # pixels of a plane
_PHASES = {"rank collapse": "#ecb64d", "trainable": "#7cc0e8", "entropy collapse": "#bb6bae"}
_TITLES = {"depth": "blocks (log)", "skip": "scale of the skips (log)"}


class Seen(NamedTuple):
    """What a pass showed of one block of the trained model: a description, not a prediction."""

    block: int  # from 1
    beta: float | None  # sharpness of its attention, on the diagram's scale
    similarity: float | None  # of the tokens that leave it


def chart(diagram: Diagram, seen: Sequence[Seen] = ()) -> Spec:
    """The planes at the real T beside those of the T -> infinity map, then token similarity by depth."""
    rows, data = [], {"point": [{"beta": diagram.here.point.beta, **_levels(diagram.here)}]}
    for plane in diagram.planes:
        pair = [
            _plane(plane, name, title)
            for name, title in (
                ("finite", f"At the real T = {diagram.here.point.tokens}"),
                ("infinite", "Published T → ∞ map"),
            )
        ]
        rows.append(alt.hconcat(*pair))
        data |= {
            f"{plane.axis}_{name}": _cells(plane, getattr(plane, name)) for name in ("finite", "infinite")
        }
    data["seen"] = [each._asdict() for each in seen if each.beta]
    data["profile"] = _lines(diagram.here) + [
        {"block": each.block, "similarity": each.similarity, "of": "measured, trained"}
        for each in seen
        if each.similarity is not None
    ]
    whole = alt.vconcat(*rows, _profile()).resolve_scale(
        color="shared", stroke="independent", strokeDash="independent"
    )
    return filled(spec(whole), **data)


def _plane(plane: Plane, name: str, title: str) -> alt.LayerChart | alt.FacetChart:
    across = alt.X(
        "x0:Q",
        title="inverse temperature of attention (log)",
        scale=_log(plane.betas),
        axis=_axis(plane.betas),
    )
    up = alt.Y("y0:Q", title=_TITLES[plane.axis], scale=_log(plane.levels), axis=_axis(plane.levels))
    colours = alt.Scale(domain=list(_PHASES), range=list(_PHASES.values()))
    cells = (
        base(f"{plane.axis}_{name}")
        .mark_rect(aria=False, strokeWidth=0.6)
        .encode(
            x=across,
            x2="x1:Q",
            y=up,
            y2="y1:Q",
            stroke=alt.Stroke("phase:N", scale=colours, legend=None),
            color=alt.Color("phase:N", scale=colours, legend=alt.Legend(title=None, orient="top")),
        )
    )
    layers = [cells]
    if plane.axis == "depth" and name == "finite":
        layers.append(_marks("seen", "block", shape="circle", size=22))
    layers.append(_marks("point", plane.axis, shape="diamond", size=110))
    return alt.layer(*layers).properties(width=_SIZE[0], height=_SIZE[1], title=alt.Title(title, fontSize=11))


def _marks(data: str, level: str, *, shape: str, size: int) -> alt.Chart:
    point = base(data).mark_point(
        aria=False, shape=shape, size=size, filled=True, fill="white", stroke="black", opacity=1
    )
    drawn: alt.Chart = point.encode(x=alt.X("beta:Q"), y=alt.Y(f"{level}:Q"))
    return drawn


def _profile() -> alt.LayerChart | alt.FacetChart:
    of = alt.Legend(title=None, orient="top", symbolType="stroke")
    x = alt.X("block:Q", title="block (0: what enters)", axis=alt.Axis(grid=False, tickMinStep=1, format="d"))
    y = alt.Y("similarity:Q", title="token similarity", axis=alt.Axis(tickCount=5))
    drawn = base("profile").encode(x=x, y=y)
    lines = drawn.mark_line(aria=False, strokeWidth=1.5).encode(
        stroke=alt.Stroke("of:N", sort=None, legend=of),
        strokeDash=alt.StrokeDash("of:N", sort=None, legend=of),
    )
    return alt.layer(lines).properties(
        width=2 * _SIZE[0] + 60, height=130, view=alt.ViewBackground(fillOpacity=0)
    )


def _lines(here: Trainability) -> list[dict[str, Any]]:
    """Token similarity from the input to the last block, by both maps."""
    series = {
        f"untrained, T = {here.point.tokens}": here.profile.similarity,
        "untrained, T → ∞": here.profile.similarity_infinite,
    }
    return [
        {"block": block, "similarity": value, "of": name}
        for name, values in series.items()
        for block, value in enumerate(values)
    ]


def _levels(here: Trainability) -> dict[str, float]:
    return {"depth": here.point.depth, "skip": here.point.skip}


def _cells(plane: Plane, grid: Grid) -> list[dict[str, Any]]:
    xs, ys = _edges(plane.betas), _edges(plane.levels)
    return [
        {"x0": xs[column], "x1": xs[column + 1], "y0": ys[row], "y1": ys[row + 1], "phase": phase}
        for row, line in enumerate(grid.phase)
        for column, phase in enumerate(line)
    ]


def _edges(values: Sequence[float]) -> list[float]:
    """Borders halfway, in the logarithm, between neighbouring cells; the outer cells end at their values."""
    between = [(low * high) ** 0.5 for low, high in itertools.pairwise(values)]
    return [values[0], *between, values[-1]]


def _log(values: Sequence[float]) -> alt.Scale:
    return alt.Scale(type="log", domain=[values[0], values[-1]], nice=False, clamp=True)


def _axis(values: Sequence[float]) -> alt.Axis:
    """Ticks at 1, 3, 10 and so on."""
    ticks = [size * power for power in outer_powers(values[0], values[-1]) for size in (1, 3)]
    shown = [tick for tick in ticks if values[0] <= tick <= values[-1]]
    return alt.Axis(labelExpr=PLAIN, grid=False, values=shown)
