"""Terms crossed with templates: scores of terms, and intervals that resample both.

Not every term need stand in every template. A template's own level is taken off first, as the mean over the terms
that stood in it; matched terms stand in the same templates, so that neither group gains by it.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 2_000
CELLS = 64  # worked on at once
POWER = 0.8


class Effect(NamedTuple):
    """First group minus second, per cell; NaN where it is not defined."""

    size: Array  # Hedges' g over terms
    error: Array  # standard error over terms


def centred(values: Array) -> Array:
    """`values` [template, term, cell] less the level of each template; NaN where a term did not stand in it."""
    defined = np.isfinite(values)
    count = defined.sum(1, keepdims=True)
    level = np.where(defined, values, 0.0).sum(1, keepdims=True) / np.maximum(count, 1)
    return np.asarray(np.where(defined, values - level, np.nan))


def term_scores(values: Array) -> Array:
    """Mean of each term over its templates, their levels taken off, [term, cell]; NaN for a term without any."""
    found = centred(values)
    defined = np.isfinite(found)
    count = defined.sum(0)
    total = np.where(defined, found, 0.0).sum(0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def effect(scores: Array, first: NDArray[np.bool_]) -> Effect:
    """How large the difference between the groups is beside the spread of their terms.

    Source: Hedges 1981 (g).

    Args:
        scores: [term, cell].
        first: which terms are of the first group, [term].
    """
    one, two = scores[first], scores[~first]
    free = len(one) + len(two) - 2
    pooled = (_squares(one) + _squares(two)) / max(free, 1)
    deviation = np.sqrt(pooled)
    difference = one.mean(0) - two.mean(0)
    small = 1.0 - 3.0 / (4.0 * free - 1.0) if free > 0 else np.nan
    size = np.divide(difference, deviation, out=np.full_like(difference, np.nan), where=deviation > 0) * small
    return Effect(size, deviation * np.sqrt(1 / len(one) + 1 / len(two)))


def interval(values: Array, first: NDArray[np.bool_], *, seed: int) -> tuple[Array, Array]:
    """Both ends of the 95% interval of the difference between the groups, [cell] each.

    The percentile interval of a bootstrap that draws terms within each group, and templates, both with replacement;
    for crossed factors it is on the wide side.

    Source: Owen 2007, The pigeonhole bootstrap.

    Args:
        values: [template, term, cell]; NaN where a term did not stand in a template.
        first: which terms are of the first group, [term].
        seed: fixes the resamples.
    """
    values = centred(values)
    templates, terms, cells = values.shape
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(templates, np.full(templates, 1 / templates), RESAMPLES).astype(np.float64)
    share = np.zeros((RESAMPLES, terms))
    for group, sign in ((first, 1.0), (~first, -1.0)):
        size = int(group.sum())
        share[:, group] = sign * generator.multinomial(size, np.full(size, 1 / size), RESAMPLES)
    bounds = np.full((2, cells), np.nan)
    for start in range(0, cells, CELLS):
        part = values[..., start : start + CELLS]
        bounds[:, start : start + CELLS] = np.quantile(
            _resampled(part, drawn, share, first), (0.025, 0.975), axis=0
        )
    return bounds[0], bounds[1]


def smallest_visible(error: Array, tests: int, *, level: float = 0.05) -> Array:
    """The smallest difference that 80% of such probes would have found, standing alone among `tests`."""
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / (2 * max(tests, 1))) + normal.inv_cdf(POWER)) * error


def _squares(values: Array) -> Array:
    found: Array = np.square(values - values.mean(0)).sum(0)
    return found


def _resampled(values: Array, drawn: Array, share: Array, first: NDArray[np.bool_]) -> Array:
    """The difference in each resample, [resample, cell]."""
    defined = np.isfinite(values)
    total = np.tensordot(drawn, np.where(defined, values, 0.0), axes=1)
    count = np.tensordot(drawn, defined.astype(np.float64), axes=1)
    scores = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    weight = np.where(count > 0, share[..., None], 0.0)
    found = np.zeros((len(drawn), values.shape[-1]))
    for group in (first, ~first):
        taken = weight[:, group]
        found += (taken * scores[:, group]).sum(1) / np.maximum(np.abs(taken).sum(1), 1e-12)
    return found
