"""From readings to what can be said: differences with their uncertainty, corrected over all heads and axes at once."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.numerics import rounded
from audit.skew.design import Design
from audit.skew.readings import Readings
from audit.statistics.crossed import effect, interval, smallest_visible, term_scores
from audit.statistics.discovery import benjamini_hochberg
from audit.statistics.permutation import between_minus_within, contrasts, difference_of_means

Array = NDArray[np.float64]

LEVEL = 0.05  # share of the skews found that may be false
SHOWN = 12  # tests of an axis that are named, with intervals: the most certain


class Tests(NamedTuple):
    """One quantity of one axis over all cells; first group minus second, or between minus within groups."""

    level: Array  # mean over all terms
    difference: Array
    p: Array
    low: Array  # NaN for divergences, which have a test and no interval, and for what is not named
    high: Array
    size: Array  # Hedges' g
    error: Array


def tested(readings: Readings, design: Design, *, seed: int) -> dict[str, Tests]:
    """Every quantity of one axis; an axis of fewer than two terms per group has no tests."""
    if min(design.first.sum(), (~design.first).sum()) < 2:
        return {}
    found = _differences(readings.values, design.first, seed)
    for name, totals in readings.totals.items():
        contrast = between_minus_within(totals, readings.counts[name], design.first, seed=seed)
        blank = np.full_like(contrast.p, np.nan)
        level = totals.sum((1, 2)) / max(readings.counts[name].sum(), 1)
        found[name] = Tests(level, contrast.observed, contrast.p, blank, blank, blank, blank)
    named = [(name, cell) for name, cell in in_order(found)[:SHOWN] if name in readings.values]
    if named:
        values = np.stack([readings.values[name][..., cell] for name, cell in named], axis=-1)
        bounds = interval(values.astype(np.float64), design.first, seed=seed)
        for (name, cell), low, high in zip(named, *bounds, strict=True):
            found[name].low[cell], found[name].high[cell] = low, high
    return found


def rank(p: float, size: float | None) -> tuple[float, float]:
    """What tests of one axis are put in order by: the most certain first, then the largest.

    Correcting several axes together does not change it.
    """
    return p, -abs(size or 0.0)


def in_order(tests: Mapping[str, Tests]) -> list[tuple[str, int]]:
    """Quantity and cell of every test, the most certain first."""
    every = sorted(
        (rank(each.p[cell], np.nan_to_num(each.size[cell])), name, cell)
        for name, each in tests.items()
        for cell in np.flatnonzero(np.isfinite(each.p)).tolist()
    )
    return [(name, cell) for _, name, cell in every]


def differences(readings: Readings, design: Design) -> dict[str, Array]:
    """The observed differences alone, untested."""
    found = {}
    for name, values in readings.values.items():
        scores = term_scores(values.astype(np.float64))
        found[name] = scores[design.first].mean(0) - scores[~design.first].mean(0)
    for name, totals in readings.totals.items():
        found[name] = contrasts(totals, readings.counts[name], design.first[None])[0]
    return found


def _differences(
    readings: Mapping[str, NDArray[np.float32]], first: NDArray[np.bool_], seed: int
) -> dict[str, Tests]:
    """All quantities side by side: they share their labellings."""
    scores = np.concatenate([term_scores(each.astype(np.float64)) for each in readings.values()], axis=1)
    contrast = difference_of_means(scores, first, seed=seed)
    known = np.isfinite(contrast.p)
    low, high, size, error = (np.full(known.shape, np.nan) for _ in range(4))
    if known.any():
        size[known], error[known] = effect(scores[:, known], first)
    level = np.where(known, np.concatenate([_level(each) for each in readings.values()]), np.nan)
    columns = (level, contrast.observed, contrast.p, low, high, size, error)
    parts = zip(*(np.split(column, len(readings)) for column in columns), strict=True)
    return {name: Tests(*part) for name, part in zip(readings, parts, strict=True)}


def _level(values: NDArray[np.float32]) -> Array:
    """Mean over all sentences, [cell]."""
    defined = np.isfinite(values)
    total = np.where(defined, values, 0.0).sum((0, 1), dtype=np.float64)
    return np.asarray(total / np.maximum(defined.sum((0, 1)), 1))


class Adjusted(NamedTuple):
    """Adjusted p of one axis, and how many tests were corrected together (the size of the family)."""

    q: dict[str, Array]  # quantity -> [cell]; empty for an axis that was not judged
    size: int

    def standing(self) -> "Standing":
        """The tests that stand out."""
        return {name: np.flatnonzero(np.nan_to_num(q, nan=1.0) <= LEVEL) for name, q in self.q.items()}


Standing = Mapping[str, NDArray[np.int64]]  # quantity -> cells


class Corrected(NamedTuple):
    """Adjusted p of several axes, as one family."""

    axes: list[dict[str, Array]]
    size: int

    def only(self, axis: int) -> Adjusted:
        """One axis of the family."""
        return Adjusted(self.axes[axis], self.size)


def corrected(tests: Sequence[Mapping[str, Tests]]) -> Corrected:
    """Every cell of every quantity of every axis, corrected together."""
    flat = [(axis, name, each.p) for axis, by_name in enumerate(tests) for name, each in by_name.items()]
    together = np.concatenate([p for _, _, p in flat]) if flat else np.empty(0)
    adjusted = benjamini_hochberg(together)
    found: list[dict[str, Array]] = [{} for _ in tests]
    start = 0
    for axis, name, p in flat:
        found[axis][name] = adjusted[start : start + len(p)]
        start += len(p)
    return Corrected(found, int(np.isfinite(together).sum()))


def visible(tests: Mapping[str, Tests], count: int) -> float | None:
    """The smallest difference in attention received that would probably have been found in the median head."""
    if "received" not in tests:
        return None
    error = tests["received"].error
    errors = error[np.isfinite(error)]
    return rounded(float(np.median(smallest_visible(errors, count, level=LEVEL))), 3) if len(errors) else None
