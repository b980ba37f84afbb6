"""Tests between two groups of terms by permuting which group a term belongs to.

The unit of inference is the TERM. Two groups of the same kind of word (twelve men's names, twelve others) differ from
sentence to sentence because their words differ: a test over sentences calls that significant almost always, a test
that permutes the labels of terms does so as often as it says.

Every labelling with the same group sizes is tried where there are few, else seeded ones are drawn one after the other
until `ENOUGH` are at least as strange as the observed one: a cell far from any threshold needs few draws, and one that
stands out sees all `DRAWS`, so that a p of 2e-5 can be told from 0. Drawn so, p is known to about a twentieth of itself
and P(p <= x) <= x.

Source: Besag and Clifford 1991, Sequential Monte Carlo p-values; Phipson and Smyth 2010, Permutation p-values should
never be zero; Good 2005, Permutation Tests, chapter 3.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]  # [draw, term], True in the first group
Cells = NDArray[np.int64]
Strange = Callable[[Labels, Cells, Array], NDArray[np.bool_]]  # whether each draw reaches each cell's bar

DRAWS = 200_000  # labellings, at most
ENOUGH = 400  # as strange as the observed one: a p above 0.002 needs no more
CHUNK = 2_000  # labellings worked on at once
ROUNDING = 1e-9  # relative: labellings that give the same statistic in other order count as equal
DOUBT = 1e-4  # of the mean deviation: several times what single precision can be off by


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
    found = values[first].mean(0) - values[~first].mean(0)
    apart = values - values.mean(0)  # of which the sum over a group is proportional to the difference

    def strange(labels: Labels, cells: Cells, bar: Array) -> NDArray[np.bool_]:
        return np.asarray(np.abs(labels.astype(np.float64) @ apart[:, cells]) >= bar)

    defined = np.asarray(np.isfinite(values).all(0))
    return Tested(found, _p(strange, np.abs(apart[first].sum(0)), first, defined, seed=seed))


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
    return Tested(found, _p(pairs.strange, found, first, defined, seed=seed))


def contrasts(totals: Array, counts: Array, labels: Labels) -> Array:
    """Mean divergence between the groups minus that within them, for each labelling, [draw, cell]."""
    found: Array = _Pairs.of(totals, counts).contrasts(labels, slice(None))
    return found


class _Pairs(NamedTuple):
    """Divergences by unordered pair of different terms."""

    one: NDArray[np.int64]  # [pair]
    two: NDArray[np.int64]
    totals: Array  # [cell, pair], less the cell's mean divergence: only what pairs differ by counts
    counts: Array  # [pair]

    @classmethod
    def of(cls, totals: Array, counts: Array) -> "_Pairs":
        one, two = np.triu_indices(len(counts), 1)
        summed, compared = totals[:, one, two], counts[one, two]
        level = summed.sum(1) / max(compared.sum(), 1)
        return cls(one, two, summed - np.outer(level, compared), compared)

    def contrasts(self, labels: Labels, cells: NDArray[np.int64] | slice, kind: Any = np.float64) -> Any:
        """[draw, cell], computed in the precision `kind`."""
        by_term = np.ascontiguousarray(labels.T).view(np.uint8)  # of which rows are taken nine times as fast
        across = (by_term.take(self.one, 0) ^ by_term.take(self.two, 0)).astype(kind)  # [pair, draw]
        compared = self.counts.astype(kind) @ across
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = 1 / compared + 1 / (self.counts.sum(dtype=kind) - compared)
            return ((self.totals[cells].astype(kind) @ across) * weight).T

    def strange(self, labels: Labels, cells: NDArray[np.int64], bar: Array) -> NDArray[np.bool_]:
        """Where the contrast reaches `bar`, [draw, cell]: in half the time, and again where that leaves a doubt."""
        rough = self.contrasts(labels, cells, np.float32)
        doubt = DOUBT * np.abs(self.totals[cells]).sum(1) / self.counts.sum()
        found: NDArray[np.bool_] = rough >= bar
        unsure = np.flatnonzero((np.abs(rough - bar) <= doubt).any(1))
        if len(unsure):
            found[unsure] = self.contrasts(labels[unsure], cells) >= bar
        return found


def _p(
    strange: Strange, observed: Array, first: NDArray[np.bool_], defined: NDArray[np.bool_], *, seed: int
) -> Array:
    p = np.full(len(defined), np.nan)
    cells = np.flatnonzero(defined)
    if not len(cells) or not 0 < first.sum() < len(first):
        return p
    bar = (observed - ROUNDING * np.abs(observed))[cells]
    every = math.comb(len(first), int(first.sum()))
    if every <= DRAWS:
        labels = _all_labellings(first)
        p[cells] = sum(strange(chunk, cells, bar).sum(0) for chunk in _chunks(labels)) / every
    else:
        p[cells] = _sequential(strange, bar, cells, _drawn(len(first), int(first.sum()), seed))
    return p


@lru_cache(maxsize=4)  # the quantities of an axis share their labellings, and so do most axes
def _drawn(terms: int, of_first: int, seed: int) -> Labels:
    labels = np.tile(np.arange(terms) < of_first, (DRAWS, 1))
    labels = np.random.default_rng((seed, DRAWS)).permuted(labels, axis=1)
    labels.flags.writeable = False
    return labels


def _sequential(strange: Strange, bar: Array, cells: Cells, labels: Labels) -> Array:
    """P of each cell: `ENOUGH` over the labellings that it took to see so many, or of all of them."""
    p, count = np.full(len(cells), np.nan), np.zeros(len(cells), np.int64)
    left, seen = np.arange(len(cells)), 0
    for chunk in _chunks(labels):
        found = strange(chunk, cells[left], bar[left])
        before, count[left] = count[left], count[left] + found.sum(0)
        done = count[left] >= ENOUGH
        took = 1 + (before[done] + found[:, done].cumsum(0) >= ENOUGH).argmax(0)
        p[left[done]] = ENOUGH / (seen + took)
        left, seen = left[~done], seen + len(chunk)
        if not len(left):
            break
    p[left] = (1 + count[left]) / (1 + len(labels))
    return p


def _chunks(labels: Labels) -> Iterator[Labels]:
    return (labels[start : start + CHUNK] for start in range(0, len(labels), CHUNK))


def _all_labellings(first: NDArray[np.bool_]) -> Labels:
    chosen = np.array(list(combinations(range(len(first)), int(first.sum()))))
    labels = np.zeros((len(chosen), len(first)), np.bool_)
    np.put_along_axis(labels, chosen, True, axis=1)
    return labels
