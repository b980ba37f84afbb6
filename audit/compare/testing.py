"""Paired changes of many cells: mean, interval, p, and which of them count as changed.

The interval is the studentised bootstrap of the paired differences. The p value is Student's t of the same differences
and not the bootstrap's own, whose smallest is 1 over the number of resamples: too coarse to be corrected for thousands
of heads. A cell has changed when q, its p by Benjamini and Hochberg over every cell of the comparison, is at most 0.05
AND its interval leaves out zero: what only one of them says is not believed.

Differences too small to matter have p = 1, however certain: those within the precision that an audit promises of itself
(1e-4 relative or 1e-6 absolute), and those within 1% of the metric's standard deviation over the heads or layers of the
first audit. The 1% was set on SmolLM2 from a quantised file and written again in float16: below the block left out of
it, where only rounding differs, changes are systematic, on 16 texts certain, and at most 0.2% of the values.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.statistics.bootstrap import MINIMUM_DOCUMENTS, studentised_interval
from audit.statistics.discovery import benjamini_hochberg
from audit.statistics.student import two_sided

Array = NDArray[np.float64]

DISCOVERY = 0.05  # share of the changes reported that may be none
_RELATIVE, _ABSOLUTE = 1e-4, 1e-6
_SHARE = 0.01  # of the spread between heads or layers


class Tested(NamedTuple):
    """Means over the paired samples and their change, [pair, head] each; NaN where there is none."""

    before: Array
    after: Array
    difference: Array
    low: Array
    high: Array
    p: Array
    n: NDArray[np.int64]


def spread_of(values: Array) -> float:
    """Standard deviation of a metric over its heads or layers, from [sample, layer, head]."""
    count = np.isfinite(values).sum(0)
    means = _mean(values, count)[count > 0]
    return float(means.std()) if means.size else 0.0


def tested(before: Array, after: Array, *, seed: int, spread: float) -> Tested:
    """The change of every cell of [sample, pair, head], both defined on the same samples; `spread`: see above."""
    change = after - before
    interval = studentised_interval(change, seed=seed)
    means = _mean(before, interval.n), _mean(after, interval.n)
    return Tested(
        *means,
        interval.value,
        interval.low,
        interval.high,
        _p(change, means[0], interval.value, interval.n, spread),
        interval.n,
    )


def corrected(p: list[Array]) -> list[Array]:
    """Q of every cell, over all arrays together."""
    flat = benjamini_hochberg(np.concatenate([each.ravel() for each in p])) if p else np.zeros(0)
    parts = np.split(flat, np.cumsum([each.size for each in p])[:-1]) if p else []
    return [part.reshape(each.shape) for part, each in zip(parts, p, strict=True)]


def has_changed(found: Tested, q: Array) -> NDArray[np.bool_]:
    """Which cells count as changed."""
    return (q <= DISCOVERY) & ((found.low > 0) | (found.high < 0))


def _mean(values: Array, n: NDArray[np.int64]) -> Array:
    mean: Array = np.divide(np.nansum(values, axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)
    return mean


def _p(change: Array, before: Array, mean: Array, n: NDArray[np.int64], spread: float) -> Array:
    p = np.full(mean.shape, np.nan)
    for count in np.unique(n[n >= MINIMUM_DOCUMENTS]):
        cells = n == count
        part = change[:, cells]
        centred = np.where(np.isfinite(part), part - mean[cells], 0.0)
        error = np.sqrt(np.square(centred).sum(0) / (count * (count - 1)))
        level = np.abs(mean[cells])
        t = np.divide(level, error, out=np.full(level.shape, np.inf), where=error > 0)
        noise = level <= np.maximum(max(_ABSOLUTE, _SHARE * spread), _RELATIVE * np.abs(before[cells]))
        p[cells] = np.where(noise, 1.0, two_sided(t, int(count) - 1))
    return p
