"""How often the tests of skew cry wolf: groups of words of ONE kind, divided at random, on the attention of real models.

Attention is read once. A replicate draws anew which half of the terms is called the first group and takes one test,
of a head and quantity drawn with it: 2,000 such p values are independent given the attention, and must be uniform. p
moves in steps of 1/400 at 1 and ever finer ones below, which a test of 2,000 values cannot see, so that nothing is
randomised. Beside it stands the test that the design avoids: a sign-flip of paired differences over sentences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.models.coverage import observed, survey
from audit.models.loading import LoadedModel
from audit.probes.demographics import axes
from audit.probes.matching import Matched
from audit.results import Plan
from audit.skew.design import Design
from audit.skew.ground import Ground
from audit.skew.readings import read
from audit.skew.testing import LEVEL
from audit.statistics.crossed import term_scores
from audit.statistics.discovery import benjamini_hochberg
from audit.statistics.permutation import between_minus_within, difference_of_means

Array = NDArray[np.float64]

SIGN_FLIPS = 999
MIXED, SHIFT = (
    0.1,
    2.5,
)  # share of the heads in which a difference is put, and its size in standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What one model's heads do with terms of one kind."""

    values: dict[str, Array]  # quantity -> [template, term, cell]
    scores: dict[str, Array]  # quantity -> [term, cell]
    totals: dict[str, Array]  # divergence -> [cell, term, term]
    counts: dict[str, Array]

    @property
    def terms(self) -> int:
        """How many."""
        return len(next(iter(self.scores.values())))

    def halves(self, seed: Sequence[int]) -> NDArray[np.bool_]:
        """Half of the terms at random."""
        return np.random.default_rng(seed).permutation(np.arange(self.terms) < self.terms // 2)

    def p(self, name: str, cells: NDArray[np.int64], first: NDArray[np.bool_], *, seed: int) -> Array:
        """As the survey tests them, [cell]."""
        if name in self.scores:
            return difference_of_means(self.scores[name][:, cells], first, seed=seed).p
        return between_minus_within(self.totals[name][cells], self.counts[name], first, seed=seed).p

    def tests(self) -> list[tuple[str, int]]:
        """Every quantity and head that is defined for every term."""
        found = [
            (name, cell)
            for name, values in self.scores.items()
            for cell in np.flatnonzero(np.isfinite(values).all(0))
        ]
        return found + [
            (name, cell)
            for name, totals in self.totals.items()
            for cell in np.flatnonzero(np.isfinite(totals).all((1, 2)))
        ]


def captured(loaded: LoadedModel, *, templates: int, terms: int) -> Captured:
    """Names of the control, which are all of one kind, in every one of the first templates."""
    layers = survey(loaded.model)
    layers = observed(layers, {layer.index for layer in layers})
    ground = Ground(loaded=loaded, layers=layers, plan=Plan(), shown=True)
    (axis,) = (axis for axis in axes() if axis.control)
    chosen = range(min(terms, sum(map(len, axis.terms))))
    made = Design(
        axis=axis,
        matched=Matched((), (), (), 0.0),
        chosen=tuple(chosen),
        first=np.arange(len(chosen)) < len(chosen) // 2,
        templates=tuple(range(templates)),
        cells=frozenset((template, term) for template in range(templates) for term in chosen),
    )
    found = read(loaded.model, made, ground.sentences(axis, made.cells), layers=layers, seed=0)
    values = {name: each.astype(np.float64) for name, each in found.values.items()}
    return Captured(
        values=values,
        scores={name: term_scores(each) for name, each in values.items()},
        totals=found.totals,
        counts=found.counts,
    )


def independent(of: Captured, *, replicates: int) -> Array:
    """One p of each replicate."""
    tests, found = of.tests(), np.empty(replicates)
    for number in range(replicates):
        name, cell = tests[np.random.default_rng((1, number)).integers(len(tests))]
        found[number] = of.p(name, np.array([cell]), of.halves((0, number)), seed=number)[0]
    return found


def over_sentences(of: Captured, *, replicates: int) -> Array:
    """The p that a test of sentences gives: term by term paired differences within templates, signs flipped."""
    found = np.empty(replicates)
    names = list(of.values)
    for number in range(replicates):
        generator = np.random.default_rng((1, number))
        values = of.values[names[generator.integers(len(names))]]
        cell, first = generator.integers(values.shape[-1]), of.halves((0, number))
        one, two = (np.flatnonzero(group) for group in (first, ~first))
        gaps = values[:, one[: len(two)], cell] - values[:, two[: len(one)], cell]
        gaps = gaps[np.isfinite(gaps)]
        signs = generator.choice((-1.0, 1.0), (SIGN_FLIPS, len(gaps)))
        found[number] = (1 + (np.abs(signs @ gaps) >= abs(gaps.sum())).sum()) / (1 + SIGN_FLIPS)
    return found


class Wrong(NamedTuple):
    """Mean share of false discoveries over replicates, and its standard error."""

    rate: float
    error: float
    power: float  # share of what is there that is found; NaN where nothing is


def false_discoveries(of: Captured, *, replicates: int, mixed: bool) -> Wrong:
    """Of all heads and quantities of a replicate corrected together; `mixed` puts a difference in some of them."""
    shares, power = [], []
    for number in range(replicates):
        first = of.halves((2, number))
        p, true = (np.concatenate(parts) for parts in zip(*_all(of, first, number, mixed), strict=True))
        discovered = benjamini_hochberg(p) <= LEVEL
        shares.append((discovered & ~true).sum() / max(discovered.sum(), 1))
        power.append((discovered & true).sum() / true.sum() if true.any() else np.nan)
    return Wrong(
        float(np.mean(shares)),
        float(np.std(shares) / sqrt(replicates)),
        float(np.nanmean(power)) if mixed else float("nan"),
    )


def _all(
    of: Captured, first: NDArray[np.bool_], number: int, mixed: bool
) -> Iterator[tuple[Array, NDArray[np.bool_]]]:
    generator = np.random.default_rng((3, number))
    for values in of.scores.values():
        true = (generator.random(values.shape[1]) < MIXED) & mixed
        moved = values + np.outer(first, true) * SHIFT * values.std(0)
        yield difference_of_means(moved, first, seed=0).p, true
    for name, totals in of.totals.items():
        yield (
            between_minus_within(totals, of.counts[name], first, seed=0).p,
            np.zeros(len(totals), np.bool_),
        )


def uniformity(p: Array) -> float:
    """P of a departure from the uniform distribution as large as that of `p` (Kolmogorov-Smirnov, asymptotic)."""
    ordered, count = np.sort(p), len(p)
    steps = np.arange(count + 1) / count
    distance = max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())
    root = sqrt(count)
    reach = (root + 0.12 + 0.11 / root) * distance  # Stephens 1970
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * exp(-2 * (k * reach) ** 2) for k in range(1, 101))))
