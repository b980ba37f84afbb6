"""What colours, heights and steps of a chart stand for, and which numbers are written beside them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

Spec = dict[str, Any]
PLAIN = "format(datum.value, ',.3~r')"  # ticks in decimals; the default would round 10 to '1e+1'


class Scale(NamedTuple):
    """A unit, and the values at both ends; `log` needs a low end above 0, `diverging` differences around 0."""

    unit: str
    low: float
    high: float
    log: bool = False
    diverging: bool = False

    @property
    def title(self) -> str:
        """What an axis or a legend is headed with."""
        return ("value" if self.unit in {"", "1"} else self.unit) + (" (log)" if self.log else "")


def base(data: str) -> alt.Chart:
    """A chart over the data set called `data`."""
    return alt.Chart(alt.NamedData(name=data))


def spec(chart: alt.TopLevelMixin) -> Spec:
    """The chart's specification, its data sets still to be put in: Altair would walk through every cell."""
    return chart.to_dict(validate=False)


def filled(chart: Spec, **data: Sequence[Any]) -> Spec:
    """The specification with data sets by name; `chart` stays as it is."""
    return chart | {"datasets": data}


def colour(scale: Scale) -> alt.Color:
    """Viridis over the scale, or blue to orange around 0: even to the eye, told apart without colour vision."""
    domain = [scale.low, scale.high if scale.high > scale.low else scale.low + 1.0]
    ticks = [domain[0], *inner_powers(*domain), domain[1]] if scale.log else round_ticks(*domain)
    legend = alt.Legend(title=scale.title, values=ticks, labelExpr=PLAIN, gradientThickness=9)
    shape: Any = {"domain": domain, "clamp": True, "type": "log" if scale.log else "linear"}
    kind = alt.Scale(scheme="blueorange" if scale.diverging else "viridis", **shape)
    return alt.Color("value:Q", scale=kind, legend=legend)


def numbered(field: str, count: int, *, every: int) -> dict[str, Any]:
    """The encoding of an axis that numbers `count` cells from 0 and labels some of them."""
    axis = alt.Axis(title=field, values=list(range(0, count, every)), labelAngle=0, labelOverlap=False)
    return {"shorthand": f"{field}:O", "scale": alt.Scale(domain=list(range(count))), "axis": axis}


def step(target: int, count: int, largest: int, least: int = 4) -> int:
    """Pixels per cell so that `count` cells come near `target`, and neither 1 nor 128 are illegible."""
    return max(least, min(largest, round(target / max(count, 1))))


def label_every(count: int, pixels: float, room: float = 18) -> int:
    """How many cells of `pixels` apart labels stand so that each has `room` pixels."""
    return next(
        every for every in (1, 2, 5, 10, 20, 50, 100, count) if every * pixels >= room or every == count
    )


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, about four of them."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    size = next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough)
    return [size * count for count in range(math.ceil(low / size), math.floor(high / size) + 1)]


def outer_powers(low: float, high: float) -> list[float]:
    """The powers of ten that enclose `low` and `high`."""
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def inner_powers(low: float, high: float) -> list[float]:
    """The powers of ten well between `low` and `high`."""
    return [power for power in outer_powers(low, high) if 1.5 * low < power < high / 1.5]
