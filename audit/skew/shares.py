"""How much of a difference something is, or leaves: ratios with intervals over matched terms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 2_000


class Share(NamedTuple):
    """A ratio and its 95% interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


UNKNOWN = Share(float("nan"), float("nan"), float("nan"))


def of_effect(shift: Array, effect: Array, pair: NDArray[np.int64], *, seed: int) -> Share:
    """The slope of `shift` on `effect` through the origin, resampled over pairs of terms.

    Args:
        shift: what is to be explained, [template, term]; NaN where not defined.
        effect: what it is a share of, [template, term].
        pair: number of the pair each term is of, [term].
        seed: fixes the resamples.
    """
    known = np.isfinite(shift) & np.isfinite(effect)
    shared, total = (
        np.bincount(pair, np.where(known, each, 0.0).sum(0)) for each in (shift * effect, effect**2)
    )
    if not total.sum():
        return UNKNOWN
    drawn = np.random.default_rng(seed).integers(0, len(total), (RESAMPLES, len(total)))
    draws = shared[drawn].sum(1) / np.maximum(total[drawn].sum(1), 1e-12)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Share(float(shared.sum() / total.sum()), float(low), float(high))


def of_differences(new: Array, old: Array, first: NDArray[np.bool_], *, seed: int) -> Share:
    """Summed sizes of the differences between the groups of `new` [term, cell] over those of `old`.

    Terms are drawn within their groups, the same for both.
    """
    generator = np.random.default_rng(seed)
    weight = np.zeros((RESAMPLES + 1, len(first)))
    for group, sign in ((first, 1.0), (~first, -1.0)):
        count = int(group.sum())
        drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)
        weight[:, group] = sign * np.concatenate([np.ones((1, count)), drawn]) / count
    left = np.abs(weight @ new).sum(1) / np.maximum(np.abs(weight @ old).sum(1), 1e-12)
    low, high = np.quantile(left[1:], (0.025, 0.975))
    return Share(float(left[0]), float(low), float(high))
