"""Quantiles of what was measured over the model's own heads and layers, and of curves that were simulated."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.numerics import rounded
from audit.results import Null

LEVELS = (0.05, 0.5, 0.95)


def flat(values: Any) -> list[float]:
    """Every number of a measurement, whatever its shape."""
    if isinstance(values, list):
        return [number for row in values for number in flat(row)]
    return [] if values is None else [values]


def spread_of(values: Sequence[float], *, how: str) -> Null | None:
    """Median and 5% and 95% quantile of `values` as a null; None where there are none."""
    if not values:
        return None
    low, middle, high = (rounded(float(q)) for q in np.quantile(np.array(values), LEVELS))
    return Null(how=how, value=middle, low=low, high=high, n=len(values))


def read_off(curve: NDArray[np.float64], grid: NDArray[np.float64], places: Any) -> Any:
    """A simulated curve [grid] at each of `places`, in their shape; None where there is no place."""
    if isinstance(places, list):
        return [read_off(curve, grid, place) for place in places]
    return None if places is None else rounded(float(np.interp(places, grid, curve)))
