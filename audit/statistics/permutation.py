"""Tests between two groups of terms by permuting which group a term belongs to.

The unit of inference is the TERM. Two groups of the same kind of word (twelve men's names, twelve others) differ from
sentence to sentence because their words differ: a test over sentences calls that significant almost always, a test
that permutes the labels of terms does so as often as it says.

Every labelling with the same group sizes is tried where there are few, else a seeded draw of them. Most cells are far
from any threshold and need few draws; those that are not see `FINE` of them, so that a p of 2e-5 can be told from 0.
p counts the observed labelling itself and is therefore never 0; both stages keep P(p <= x) <= x.

Source: Phipson and Smyth 2010, Permutation p-values should never be zero; Good 2005, Permutation Tests, chapter 3.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]  # [draw, term], True in the first group
Statistic = Callable[
    [Labels, NDArray[np.int64]], Array
]  # draws and cells -> [draw, cell]; larger is stranger

COARSE, FINE = 10_000, 200_000  # labellings: for every cell, and for those that come near a threshold
NEAR = 0.02  # p after the coarse stage from which a cell is worth the fine one
CHUNK = 2_000  # labellings worked on at once
ROUNDING = 1e-9  # relative: labellings that give the same statistic in other order count as equal


class Tested(NamedTuple):
    """The observed statistic of each cell and its p; NaN where the cell is not defined on every term."""

    observed: Array
    p: Array


def difference_of_means(values: Array, first: NDArray[np.bool_], *, seed: int) -> Tested:
    """Mean of the first group minus that of the second, per cell, and the two-sided p of such a difference.

    Args:
        values: one score per term, [term, cell]; NaN where a term has none.
        first: which terms are of the first group, [term].
        seed: chooses the labellings.
    """
    found = _differences(values, first[None])[0]

    def statistic(labels: Labels, cells: NDArray[np.int64]) -> Array:
        return np.abs(_differences(values[:, cells], labels))

    defined = np.asarray(np.isfinite(values).all(0))
    return Tested(found, _p(statistic, first, defined, seed=seed))


def between_minus_within(
    totals: Array, counts: NDArray[np.float64], first: NDArray[np.bool_], *, seed: int
) -> Tested:
    """Mean divergence of terms of different groups minus that of terms of the same, per cell, and its upper p.

    A divergence is never negative, so that one between groups says nothing before the one within is taken off.

    Args:
        totals: summed divergences of each pair of terms, symmetric, [cell, term, term].
        counts: how many sentences each pair was compared in, symmetric, [term, term].
        first: which terms are of the first group, [term].
        seed: chooses the labellings.
    """
    pairs = _Pairs.of(totals, counts)
    found = pairs.contrasts(first[None], slice(None))[0]
    defined = np.asarray(np.isfinite(pairs.totals).all(1) & np.isfinite(found))
    return Tested(found, _p(pairs.contrasts, first, defined, seed=seed))


def contrasts(totals: Array, counts: Array, labels: Labels) -> Array:
    """Mean divergence between the groups minus that within them, for each labelling, [draw, cell]."""
    return _Pairs.of(totals, counts).contrasts(labels, slice(None))


class _Pairs(NamedTuple):
    """Divergences by unordered pair of different terms."""

    one: NDArray[np.int64]  # [pair]
    two: NDArray[np.int64]
    totals: Array  # [cell, pair]
    counts: Array  # [pair]

    @classmethod
    def of(cls, totals: Array, counts: Array) -> "_Pairs":
        one, two = np.triu_indices(len(counts), 1)
        return cls(one, two, totals[:, one, two], counts[one, two])

    def contrasts(self, labels: Labels, cells: NDArray[np.int64] | slice) -> Array:
        """[draw, cell]."""
        by_term, totals = np.ascontiguousarray(labels.T), self.totals[cells]
        across = (by_term[self.one] != by_term[self.two]).astype(np.float64)  # [pair, draw]
        between, compared = totals @ across, self.counts @ across
        with np.errstate(invalid="ignore", divide="ignore"):
            within = (totals.sum(1, keepdims=True) - between) / (self.counts.sum() - compared)
            contrast: Array = between / compared - within
        return contrast.T


def _differences(values: Array, labels: Labels) -> Array:
    """[draw, cell]."""
    first = labels.sum(1, keepdims=True)
    rest = labels.shape[1] - first
    of_first = labels.astype(np.float64) @ values
    return np.asarray(of_first / first - (values.sum(0) - of_first) / rest)


def _p(statistic: Statistic, first: NDArray[np.bool_], defined: NDArray[np.bool_], *, seed: int) -> Array:
    p = np.full(len(defined), np.nan)
    cells = np.flatnonzero(defined)
    if not len(cells) or not 0 < first.sum() < len(first):
        return p
    every = math.comb(len(first), int(first.sum()))
    if every <= FINE:
        p[cells] = _exceeded(statistic, first, _all_labellings(first), cells) / every
        return p
    for draws in (COARSE, FINE):
        labels = _drawn(len(first), int(first.sum()), draws, seed)
        p[cells] = (1 + _exceeded(statistic, first, labels, cells)) / (1 + draws)
        cells = cells[p[cells] <= NEAR]
        if not len(cells):
            break
    return p


@lru_cache(maxsize=4)  # the quantities of an axis share their labellings, and so do most axes
def _drawn(terms: int, of_first: int, draws: int, seed: int) -> Labels:
    labels = np.tile(np.arange(terms) < of_first, (draws, 1))
    labels = np.random.default_rng((seed, draws)).permuted(labels, axis=1)
    labels.flags.writeable = False
    return labels


def _exceeded(
    statistic: Statistic, first: NDArray[np.bool_], labels: Labels, cells: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many labellings are at least as strange as the observed one, [cell]."""
    observed = statistic(first[None], cells)[0]
    bar = observed - ROUNDING * np.abs(observed)
    count = np.zeros(len(cells), np.int64)
    for start in range(0, len(labels), CHUNK):
        count += (statistic(labels[start : start + CHUNK], cells) >= bar).sum(0)
    return count


def _all_labellings(first: NDArray[np.bool_]) -> Labels:
    chosen = np.array(list(combinations(range(len(first)), int(first.sum()))))
    labels = np.zeros((len(chosen), len(first)), np.bool_)
    np.put_along_axis(labels, chosen, True, axis=1)
    return labels
