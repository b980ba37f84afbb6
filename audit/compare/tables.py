"""Measurements as arrays and back, the same for a comparison and a trend."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audit.results import Measurement

Array = NDArray[np.float64]
WEIGHTS: Final = "weights"  # the pseudo-probe of metrics of weights
EXACT: Final = "of the weights or of a whole corpus, not of single texts: no interval, no test"


def table(values: object) -> Array | None:
    """[layer][head] or [layer] as an array [layer, head], NaN where absent; None for a single number or nothing."""
    if not isinstance(values, list):
        return None
    rows = [row if isinstance(row, list) else [row] for row in values]
    found = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for index, row in enumerate(rows):
        found[index, : len(row)] = [np.nan if value is None else value for value in row]
    return found


def has_heads(measurement: Measurement) -> bool:
    """Whether it is [layer][head]."""
    return isinstance(measurement.value, list) and any(isinstance(row, list) for row in measurement.value)


def rounded(value: float) -> float | None:
    """`value` at six significant digits, or None where it is not finite (JSON has no NaN)."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
