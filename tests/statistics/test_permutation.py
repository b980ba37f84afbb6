"""Permuting labels over terms: exact where it can be, honest where it is drawn."""

from itertools import combinations

import numpy as np
import pytest

from audit.statistics import permutation
from audit.statistics.permutation import between_minus_within, difference_of_means


def halves(terms, first):
    return np.arange(terms) < first


def test_few_terms_are_tested_exactly():
    """Against every labelling written out."""
    values = np.array([[3.0], [2.5], [2.0], [0.1], [0.4], [-0.3], [1.9]])
    found = difference_of_means(values, halves(7, 3), seed=0)
    gaps = [
        abs(values[list(chosen)].mean() - np.delete(values, chosen).mean())
        for chosen in combinations(range(7), 3)
    ]
    assert found.observed[0] == pytest.approx(values[:3].mean() - values[3:].mean())
    assert found.p[0] == pytest.approx(np.mean(np.array(gaps) >= gaps[0] - 1e-12))


def test_divergences_are_compared_between_and_within_groups():
    """The contrast and its exact p, against loops over pairs."""
    generator = np.random.default_rng(1)
    terms, first = 6, halves(6, 3)
    counts = generator.integers(1, 4, (terms, terms)).astype(float)
    counts = np.triu(counts, 1) + np.triu(counts, 1).T
    totals = generator.random((1, terms, terms))
    totals = np.triu(totals, 1) + np.triu(totals, 1).transpose(0, 2, 1)

    def contrast(labels):
        sums = {True: [0.0, 0.0], False: [0.0, 0.0]}
        for a, b in combinations(range(terms), 2):
            both = sums[bool(labels[a] != labels[b])]
            both[0] += totals[0, a, b]
            both[1] += counts[a, b]
        return sums[True][0] / sums[True][1] - sums[False][0] / sums[False][1]

    found = between_minus_within(totals, counts, first, seed=0)
    every = [contrast(np.isin(np.arange(terms), chosen)) for chosen in combinations(range(terms), 3)]
    assert found.observed[0] == pytest.approx(contrast(first))
    assert found.p[0] == pytest.approx(np.mean(np.array(every) >= contrast(first) - 1e-12))


def test_p_is_uniform_where_nothing_is_there():
    """2,000 cells of noise: no more small p than there should be, and no fewer than a test with power has."""
    values = np.random.default_rng(2).normal(size=(24, 2000))
    p = difference_of_means(values, halves(24, 12), seed=0).p
    steps = np.arange(1, len(p) + 1) / len(p)
    assert np.abs(np.sort(p) - steps).max() < 1.63 / np.sqrt(len(p))  # Kolmogorov-Smirnov at 1%


def test_a_strong_difference_is_known_far_down():
    """P of 2e-5 and less must be told from 0 for thousands of tests to be corrected together."""
    values = np.random.default_rng(3).normal(size=(28, 3))
    values[:14, 1] += 6.0
    p = difference_of_means(values, halves(28, 14), seed=0).p
    assert 0 < p[1] <= 2 / permutation.DRAWS
    assert p[0] > 1e-3 < p[2]


def test_drawing_stops_where_enough_is_known():
    """A p that stopped early is near the one over all labellings, and one that did not is the same."""
    values = np.random.default_rng(5).normal(size=(28, 40))
    values[:14] += np.linspace(0.0, 1.6, 40)
    early = difference_of_means(values, halves(28, 14), seed=0).p
    gaps = np.abs(values[:14].mean(0) - values[14:].mean(0))
    labels = np.tile(halves(28, 14), (permutation.DRAWS, 1))
    labels = np.random.default_rng((0, permutation.DRAWS)).permuted(labels, axis=1)
    sums = labels @ values
    strange = np.abs(sums / 14 - (values.sum(0) - sums) / 14) >= gaps - 1e-9
    whole = (1 + strange.sum(0)) / (1 + permutation.DRAWS)
    rare = strange.sum(0) < permutation.ENOUGH
    assert 0 < rare.sum() < 40
    assert early[rare] == pytest.approx(whole[rare], rel=1e-12)
    assert early[~rare] == pytest.approx(whole[~rare], rel=4 / np.sqrt(permutation.ENOUGH))


def test_a_cell_without_a_score_of_every_term_has_no_p():
    """Absent is absent."""
    values = np.ones((8, 2))
    values[3, 1] = np.nan
    assert np.isnan(difference_of_means(values, halves(8, 4), seed=0).p).tolist() == [False, True]


def test_cells_alike_for_every_term_are_no_discovery():
    """A head that never looks at the term gives the same 0 under every label."""
    assert difference_of_means(np.zeros((28, 1)), halves(28, 14), seed=0).p[0] == 1.0


def test_the_seed_decides():
    """Bytes repeat."""
    values = np.random.default_rng(4).normal(size=(28, 5))
    one, two = (difference_of_means(values, halves(28, 14), seed=seed).p for seed in (7, 7))
    assert one.tolist() == two.tolist()
