"""Intervals of means over documents: their coverage, and what they do with data that are not as one would like."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from audit.statistics.bootstrap import Interval, by_document, studentised_interval

Array = NDArray[np.float64]
SEEDS = 8
REPETITIONS = 4000


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def _covered(
    draw: Callable[..., Array], mean: float, n: int, interval: Callable[[Array, int], Interval]
) -> float:
    """Share of intervals that hold the true mean, over resamples of several seeds."""
    held = 0
    for seed in range(SEEDS):
        found = interval(draw(np.random.default_rng(seed), n), seed)
        held += int(((found.low <= mean) & (mean <= found.high)).sum())
    return held / REPETITIONS


def _normal(generator: np.random.Generator, n: int) -> Array:
    return generator.normal(size=(n, REPETITIONS // SEEDS))


def _lognormal(generator: np.random.Generator, n: int) -> Array:
    return generator.lognormal(size=(n, REPETITIONS // SEEDS))


def _studentised(values: Array, seed: int) -> Interval:
    return studentised_interval(values, seed=seed)


def _percentile(values: Array, seed: int) -> Interval:
    """The bootstrap that is not used here, for contrast."""
    n = len(values)
    drawn = np.random.default_rng(seed).integers(0, n, (2000, n))
    share = np.stack([np.bincount(row, minlength=n) for row in drawn]) / n
    low, high = np.quantile(share @ values, (0.025, 0.975), axis=0)
    return Interval(values.mean(0), low, high, np.full(values.shape[1:], n))


@pytest.mark.parametrize(
    ("draw", "mean", "n", "expected", "percentile"),
    [
        (_normal, 0.0, 16, 0.943, 0.905),
        (_normal, 0.0, 32, 0.949, 0.935),
        (_lognormal, np.exp(0.5), 32, 0.916, 0.867),
    ],
    ids=["normal-16", "normal-32", "lognormal-32"],
)
def test_the_interval_covers_what_it_says_and_more_than_the_percentile_bootstrap(
    draw: Callable[..., Array], mean: float, n: int, expected: float, percentile: float
) -> None:
    """95% nominal, within .02 (percentile: .03) of figures found independently in fewer repetitions."""
    studentised = _covered(draw, mean, n, _studentised)
    contrast = _covered(draw, mean, n, _percentile)

    assert expected == pytest.approx(studentised, abs=0.02)
    assert percentile == pytest.approx(contrast, abs=0.03)
    assert contrast < studentised - 0.01


def test_the_interval_is_what_a_loop_over_resamples_gives() -> None:
    """One cell by the book: t of every resample with its own standard error, quantiles swapped."""
    sample = np.random.default_rng(1).lognormal(size=20)
    error = sample.std(ddof=1) / 20**0.5
    t = []
    for drawn in np.random.default_rng(7).integers(0, 20, (2000, 20)):
        again = sample[drawn]
        t.append((again.mean() - sample.mean()) / (again.std(ddof=1) / 20**0.5))
    found = studentised_interval(sample, seed=7)

    assert sample.mean() - np.quantile(t, 0.975) * error == pytest.approx(float(found.low), rel=1e-9)
    assert sample.mean() - np.quantile(t, 0.025) * error == pytest.approx(float(found.high), rel=1e-9)


def test_data_of_few_values_keep_a_finite_interval_that_covers() -> None:
    """One document in ten differs: resamples of one value only must not blow the interval up."""
    found = studentised_interval(
        (np.random.default_rng(0).random((32, 2000)) < 0.1) + 1e-9 * _random(32, 2000), seed=0
    )

    assert np.isfinite(found.low).all()
    assert (found.high - found.low).max() < 1.0
    assert ((found.low <= 0.1) & (found.high >= 0.1)).mean() > 0.92


def test_the_value_is_the_mean_and_the_interval_holds_it() -> None:
    """Per cell, on every document."""
    values = _random(32, 5, 3)
    found = studentised_interval(values, seed=0)

    np.testing.assert_allclose(found.value, values.mean(0))
    assert ((found.low < found.value) & (found.value < found.high)).all()
    assert (found.n == 32).all()


def test_a_longer_tail_has_the_longer_arm() -> None:
    """The interval is not symmetric where the data are not."""
    found = studentised_interval(np.random.default_rng(0).lognormal(size=(64, 1)), seed=0)

    assert found.high[0] - found.value[0] > 1.3 * (found.value[0] - found.low[0])


def test_more_confidence_is_a_wider_interval() -> None:
    """99% holds 95% holds 50%."""
    values = _random(32, 1)
    widths = [np.ptp(studentised_interval(values, seed=0, level=level)[1:3]) for level in (0.5, 0.95, 0.99)]

    assert widths == sorted(widths)
    assert widths[0] < 0.5 * widths[1]


def test_constant_data_have_an_interval_without_width() -> None:
    """A previous-token head reads exactly 1 on every document, and rounding does not make it uncertain."""
    found = studentised_interval(np.full((20, 2), 0.1), seed=0)

    assert (found.low == found.value).all()
    assert (found.high == found.value).all()
    np.testing.assert_allclose(found.value, 0.1, rtol=1e-15)


@pytest.mark.parametrize(("documents", "has_interval"), [(15, False), (16, True)])
def test_fewer_than_sixteen_documents_have_a_mean_but_no_interval(documents: int, has_interval: bool) -> None:
    """The limit is on documents, and the mean is given all the same."""
    found = studentised_interval(_random(documents, 4), seed=0)

    assert np.isfinite(found.value).all()
    assert (np.isfinite(found.low) == has_interval).all()
    assert (np.isfinite(found.high) == has_interval).all()


def test_a_cell_uses_the_documents_on_which_it_is_defined() -> None:
    """NaN in a document is the same as the document not being there, down to the resamples."""
    values = _random(40, 3)
    holed = values.copy()
    holed[[0, 7, 39], 1] = np.nan
    holed[3:, 2] = np.nan
    found, without = (
        studentised_interval(holed, seed=5),
        studentised_interval(np.delete(values, [0, 7, 39], 0), seed=5),
    )

    assert found.n.tolist() == [40, 37, 3]
    np.testing.assert_allclose([part[1] for part in found[:3]], [part[1] for part in without[:3]], rtol=1e-12)
    assert np.isfinite(found.value[2])
    assert np.isnan(found.low[2])


def test_a_cell_that_is_defined_nowhere_is_absent() -> None:
    """No number where there is none, and no documents; infinity is no value either."""
    values = _random(20, 2)
    values[:, 0] = np.nan
    values[:, 1] = np.inf
    found = studentised_interval(values, seed=0)

    assert np.isnan(found[:3]).all()
    assert found.n.tolist() == [0, 0]


def test_the_seed_alone_decides() -> None:
    """The same seed gives the same bytes, another one another interval around the same mean."""
    values = _random(32, 3)
    one, again, other = (studentised_interval(values, seed=seed) for seed in (1, 1, 2))

    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert (one.low != other.low).all()
    assert (one.value == other.value).all()


def test_cells_do_not_depend_on_each_other() -> None:
    """Neither order nor company nor number of cells (here more than are worked on at once) moves a cell."""
    values = _random(20, 2100)
    together = np.stack(studentised_interval(values, seed=0)[:3])
    reversed_ = np.stack(studentised_interval(values[:, ::-1], seed=0)[:3])[:, ::-1]
    alone = np.stack(studentised_interval(values[:, 5], seed=0)[:3])

    np.testing.assert_allclose(reversed_, together, rtol=1e-9)
    np.testing.assert_allclose(alone, together[:, 5], rtol=1e-9)


def test_all_cells_see_the_same_resamples() -> None:
    """A cell that is twice another plus one has the interval that is twice the other's plus one."""
    values = _random(32, 1)
    found = studentised_interval(np.concatenate((values, 2 * values + 1), axis=1), seed=0)

    np.testing.assert_allclose(found.low[1], 2 * found.low[0] + 1, rtol=1e-9)
    np.testing.assert_allclose(found.high[1], 2 * found.high[0] + 1, rtol=1e-9)


def test_intervals_are_not_clipped_to_what_the_quantity_can_be() -> None:
    """Shares that crowd at 1 may give an upper bound above it: clipping is the business of who shows them."""
    shares: Array = np.float64(1.0) - 0.1 * (np.random.default_rng(3).random((16, 200)) < 0.1)

    assert (studentised_interval(shares, seed=0).high > 1.0).any()


def test_no_documents_at_all_are_no_fault() -> None:
    """An empty probe is absent, not an error."""
    found = studentised_interval(np.empty((0, 2, 3)), seed=0)

    assert np.isnan(found.value).all()
    assert found.n.shape == (2, 3)


def test_windows_of_one_document_are_averaged_first() -> None:
    """Documents come in the order in which they first appear, each one once, whatever the number of its windows."""
    values = np.array([[1.0, 5.0], [2.0, np.nan], [3.0, np.nan], [10.0, 1.0]])
    found = by_document(values, ["b", "a", "a", "b"])

    np.testing.assert_array_equal(found, [[5.5, 3.0], [2.5, np.nan]])


def test_windows_do_not_pass_for_evidence() -> None:
    """32 windows of 8 documents are 8 documents: no interval."""
    names = [f"document {index // 4}" for index in range(32)]
    found = studentised_interval(by_document(_random(32, 2), names), seed=0)

    assert found.n.tolist() == [8, 8]
    assert np.isnan(found.low).all()
