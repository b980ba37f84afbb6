"""Whether a paired change is harmless: its interval, a one-sided test against a margin, and what more samples would do.

What was decided, with what simulations of 3,000 to 15,000 samples each showed at 16 / 32 / 64 / 128 / 256 documents:

- The studentised bootstrap misses skewed data on the side of their long tail. There the interval is cut at 1.5%
  instead of 2.5%: this nominal 96% covers .95-.965 of normal, .94-.96 of lognormal and .935-.955 of mirrored
  lognormal changes.
- Calling harm harmless is the error that counts, and rare large harms (lognormal) invite it: a sample without its
  tail looks harmless. At the margin an uncorrected 5% test errs in .11 / .095 / .08 / .07 / .065 of the samples. So
  p is multiplied by 8 (16/n)^0.45, at least 1: .033 / .033 / .028 / .027 / .029 remain. The price in power shows in
  normal changes at the margin, .005 / .010 / .011 / .016 / .022. Below 16 documents there is no test.
- Holm's correction asks for p far out in the tail. For 26 confirmations its first step is p = .002: normal changes
  err in at most .0005 of the samples there, lognormal ones in .006 / .005 / .003 / .003 / .003. Over a whole audit
  the promise of 5% therefore holds for normal changes; were all 26 lognormal and at their margin, it would be 7-14%.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.statistics.bootstrap import LEAST_ERROR, MINIMUM_DOCUMENTS

Array = NDArray[np.float64]

ERROR = 0.05  # of calling harmless what costs the margin
LONG_TAIL, SHORT_TAIL = 0.015, 0.025  # shares cut off on either side of a 95% interval
CALIBRATION, DECAY = 8.0, 0.45  # p is multiplied by CALIBRATION (16/n)^DECAY
POWER = 0.8
RESAMPLES = 19_999  # p is known down to 5e-5, so that 1,000 confirmations can still be corrected for
CELLS = 32  # worked on at once: 5 MB per array
LARGEST = 1_000_000  # documents; what needs more is out of reach


class Changes(NamedTuple):
    """Mean paired change per cell with its 95% interval, and p of 'it is at least the margin'; NaN below 16."""

    value: Array
    low: Array
    high: Array
    p: Array
    n: int  # documents


def paired_changes(values: Array, *, margins: Array | float, seed: int) -> Changes:
    """Mean over documents of each cell of [document, cell], its interval and its one-sided test against the margin.

    A small p says that the change is smaller than the margin; p is calibrated for skewed changes (see above).
    Changes without any spread have an interval of width zero.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap (the bootstrap-t interval).

    Args:
        values: finite changes, [document, cell]; larger is worse.
        margins: the largest harmless change, one number or one per cell, in the unit of `values`.
        seed: fixes the resamples.
    """
    count, cells = values.shape
    limits = np.broadcast_to(np.asarray(margins, dtype=np.float64), (cells,))
    found = np.full((3, cells), np.nan)
    if count >= MINIMUM_DOCUMENTS:
        draws = _draws(count, seed)
        for start in range(0, cells, CELLS):
            part = slice(start, start + CELLS)
            found[:, part] = _judged(values[:, part], limits[part], draws)
    low, high, p = found
    return Changes(values.mean(0), low, high, p, count)


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for their number, each at most 1: all claims with p <= 0.05 hold together with 95%.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    corrected = [1.0] * len(p)
    worst = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        worst = max(worst, min(1.0, p[place] * (len(p) - rank)))
        corrected[place] = worst
    return corrected


def further_documents(values: Array, *, margin: float, tests: int = 1) -> int | None:
    """About how many more documents would show that the change is smaller than the margin, in four of five cases.

    Taken from the mean and spread seen so far; None where the mean is not below the margin, or where a million
    documents would not do.

    Args:
        values: changes per document, [document].
        margin: the largest harmless change.
        tests: confirmations that share the error.
    """
    room, spread = margin - float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if room <= 0:
        return None
    needed = max(MINIMUM_DOCUMENTS, len(values) + 1)
    while math.sqrt(needed) * room < spread * _distance(needed, tests):
        needed = math.ceil(needed * 1.05)
        if needed > LARGEST:
            return None
    return needed - len(values)


def _distance(count: int, tests: int) -> float:
    """Standard errors between mean and margin that `POWER` asks for; Student's quantile by its expansion in 1/n."""
    normal = NormalDist()
    far = normal.inv_cdf(1 - ERROR / tests / _calibration(count))
    return far + (far**3 + far) / (4 * (count - 1)) + normal.inv_cdf(POWER)


def _calibration(count: int) -> float:
    """What p is multiplied by, so that 5% stay 5% for lognormal changes."""
    return max(1.0, CALIBRATION * math.pow(MINIMUM_DOCUMENTS / count, DECAY))


def _draws(count: int, seed: int) -> Array:
    """Share of each of `count` documents in each resample, [resample, document]."""
    drawn = np.random.default_rng((seed, count)).integers(0, count, (RESAMPLES, count))
    share = np.zeros((RESAMPLES, count))
    np.add.at(share, (np.arange(RESAMPLES)[:, None], drawn), 1.0 / count)
    return share


def _judged(values: Array, margins: Array, draws: Array) -> Array:
    """Low, high and p, [3, cell], of [document, cell]."""
    count = len(values)
    mean = values.mean(0)
    centred = np.where(np.ptp(values, axis=0) > 0, values - mean, 0.0)
    error = np.sqrt(np.square(centred).sum(0) / (count * (count - 1)))
    t = _studentised(centred, error, draws)
    upwards = (centred**3).sum(0) > 0  # the long tail lies above
    below, above = np.where(upwards, [[LONG_TAIL], [1 - SHORT_TAIL]], [[SHORT_TAIL], [1 - LONG_TAIL]])
    low, high = (mean - _quantile(t, share) * error for share in (above, below))
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(error > 0, (mean - margins) / error, np.where(mean < margins, -np.inf, np.inf))
    p = (1 + (t <= seen).sum(0)) / (RESAMPLES + 1)
    return np.stack((low, high, np.minimum(1.0, p * _calibration(count))))


def _studentised(centred: Array, error: Array, draws: Array) -> Array:
    """The means of the resamples in units of their own standard errors, [resample, cell]."""
    means = draws @ centred
    variances = np.maximum(draws @ np.square(centred) - np.square(means), 0.0)
    errors = np.maximum(np.sqrt(variances / (len(centred) - 1)), LEAST_ERROR * error)
    t: Array = np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)
    return t


def _quantile(t: Array, shares: Array) -> Array:
    """A quantile of each column, at a share of its own."""
    places = np.clip(np.round(shares * (len(t) - 1)).astype(np.int64), 0, len(t) - 1)
    ordered = np.sort(t, axis=0)
    found: Array = np.take_along_axis(ordered, places[None], axis=0)[0]
    return found
