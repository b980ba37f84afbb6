"""A paired change, its interval and its test: proven by simulation and on cases with known answers."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from audit.statistics.noninferiority import further_documents, holm, paired_changes

Array = NDArray[np.float64]

REPETITIONS = 1000
DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
    "lognormal gains": lambda rng, shape: np.exp(0.5) - rng.lognormal(size=shape),
}


@pytest.mark.parametrize("documents", [16, 32, 64])
@pytest.mark.parametrize("shape", list(DRAWS))
def test_intervals_of_a_known_change_cover_it_in_92_to_97_percent(shape: str, documents: int) -> None:
    """The interval shown is a 95% interval also where a few documents change most."""
    changes = DRAWS[shape](np.random.default_rng(documents), (documents, REPETITIONS))
    found = paired_changes(changes, margins=0.0, seed=0)
    covered = ((found.low <= 0) & (found.high >= 0)).mean()
    assert 0.92 <= covered <= 0.97


@pytest.mark.parametrize("documents", [16, 32, 64])
@pytest.mark.parametrize("shape", list(DRAWS))
def test_a_change_at_the_margin_is_called_harmless_in_at_most_5_percent(shape: str, documents: int) -> None:
    """'Redundant' is said wrongly at most once in twenty, also when rare documents bear all the harm."""
    changes = 0.01 + 0.02 * DRAWS[shape](np.random.default_rng(7 + documents), (documents, REPETITIONS))
    found = paired_changes(changes, margins=0.01, seed=0)
    assert (found.p <= 0.05).mean() <= 0.05


def test_a_change_well_inside_the_margin_is_found_harmless() -> None:
    """The price of caution leaves a test that decides: 32 documents, a mean of a tenth of the margin."""
    changes = 0.001 + 0.01 * np.random.default_rng(3).normal(size=(32, 300))
    found = paired_changes(changes, margins=0.01, seed=0)
    assert (found.p <= 0.05).mean() > 0.95


def test_a_change_far_beyond_the_margin_is_never_found_harmless() -> None:
    """Harm of many standard errors has a p of 1."""
    found = paired_changes(0.1 + 0.01 * np.random.default_rng(0).normal(size=(32, 20)), margins=0.01, seed=0)
    assert found.p.min() > 0.99


def test_a_change_that_is_the_same_everywhere_needs_no_interval() -> None:
    """No spread: an interval of width zero, and a p at the resolution of the resamples times its correction."""
    found = paired_changes(np.full((20, 2), 0.5), margins=np.array([1.0, 0.25]), seed=0)
    assert found.low.tolist() == found.high.tolist() == found.value.tolist() == [0.5, 0.5]
    assert found.p.tolist() == [pytest.approx(8 * (16 / 20) ** 0.45 / 20_000), 1.0]


def test_fewer_than_16_documents_give_a_mean_and_no_judgement() -> None:
    """Resampling 15 documents cannot know the tails, so nothing is claimed."""
    found = paired_changes(np.ones((15, 1)), margins=2.0, seed=0)
    assert found.value.tolist() == [1.0]
    assert found.n == 15
    assert np.isnan([found.low, found.high, found.p]).all()


def test_cells_are_judged_alike_alone_and_together() -> None:
    """The judgement of one finding does not depend on how many others there are."""
    changes = np.random.default_rng(2).lognormal(size=(24, 70))
    together = paired_changes(changes, margins=1.0, seed=4)
    alone = paired_changes(changes[:, 69:], margins=1.0, seed=4)
    assert np.isclose(together.high[69], alone.high[0], rtol=1e-12)
    assert together.p[69] == alone.p[0]


def test_holm_corrects_the_smallest_p_for_all_tests_and_the_next_for_one_fewer() -> None:
    """The step-down procedure on a textbook case; a larger p never ends below a smaller one."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_error_of_twenty_confirmations_at_5_percent() -> None:
    """Over a whole audit of normal changes at the margin, a single wrong 'redundant' is rare."""
    rng = np.random.default_rng(11)
    changes = rng.normal(size=(32, 20 * 100))
    p = paired_changes(changes, margins=0.0, seed=0).p.reshape(100, 20)
    assert np.mean([min(holm(row)) <= 0.05 for row in p.tolist()]) <= 0.05


def test_as_many_more_documents_as_asked_for_decide_in_four_of_five_cases() -> None:
    """The number of further samples is about right: with them the test has the power it names."""
    rng = np.random.default_rng(5)
    seen = 0.3 + rng.normal(size=20)
    seen += 0.3 - seen.mean()
    seen = 0.3 + (seen - 0.3) / seen.std(ddof=1)
    more = further_documents(seen, margin=1.0)
    assert more is not None
    again = 0.3 + rng.normal(size=(20 + more, 400))
    assert 0.7 < (paired_changes(again, margins=1.0, seed=0).p <= 0.05).mean() < 0.92


def test_no_number_of_documents_shows_a_harm_to_be_harmless() -> None:
    """A mean at or beyond the margin, or a hair below it, is not promised a decision."""
    spread = np.linspace(-1, 1, 20)
    assert further_documents(1.0 + spread, margin=1.0) is None
    assert further_documents(1.0 - 1e-6 + spread, margin=1.0) is None


def test_more_confirmations_ask_for_more_documents() -> None:
    """What is shared between tests costs samples."""
    seen = np.linspace(-1, 1, 20)
    alone, shared = (further_documents(seen, margin=0.2, tests=tests) for tests in (1, 26))
    assert alone is not None
    assert shared is not None
    assert shared > alone > 0
