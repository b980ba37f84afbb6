"""Closed forms: where the phases meet."""

import math

import numpy as np
import pytest

from audit.theory.phases import (
    critical_inverse_temperature,
    critical_skip,
    freezing_ratio,
    inverse_temperature,
    odds_after,
    phases,
    score_spread,
)
from audit.theory.propagation import propagate
from audit.theory.rows import EveryKey
from audit.theory.states import dials, start
from audit.theory.table import InfiniteLength
from tests.theory.stacks import plain, unit


@pytest.mark.parametrize(("spread", "expected"), [(0.02**2 * 768, 0.12), (0.02**2 * 1600, 0.26), (1.0, 0.40)])
def test_common_initialisations_lie_far_below_freezing(spread: float, expected: float):
    """A sd of .02 at d = 768 is beta .12 at T = 512, at d = 1600 .26; variance 1/d is .40."""
    assert inverse_temperature(spread, 512) == pytest.approx(expected, abs=0.005)
    assert score_spread(inverse_temperature(spread, 512), 512) == pytest.approx(spread)


def test_freezing_point_rises_as_tokens_grow_alike():
    """beta_c = sqrt(2) for unlike unit tokens, sqrt(2 / (1 - rho)) in general, infinite for equal ones."""
    found = critical_inverse_temperature(np.ones(3), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found, [math.sqrt(2), 2.0, math.inf])
    assert freezing_ratio(math.sqrt(2 * math.log(100)), 100) == pytest.approx(1.0)


def test_odds_of_similarity_grow_by_one_factor_per_block():
    """Attention-only post-LN stacks below freezing follow the closed form, block by block."""
    a, i = plain(mlp_width=0, output_projection=False, depth=40), unit(sd_value=math.sqrt(0.2 / 256))
    similarity = propagate(a, dials(a, i), start(i), EveryKey(InfiniteLength(256))).similarity
    expected = [odds_after(0.2, 1.0, n, first=0.2) for n in range(1, 41)]
    np.testing.assert_allclose(similarity[1:], expected, rtol=1e-6)


def test_critical_skip_ends_at_the_asked_similarity():
    """With the skip of the closed form the last block stands exactly at .99."""
    alpha = critical_skip(0.2, 40, first=0.2)
    assert odds_after(0.2, alpha, 40, first=0.2) == pytest.approx(0.99)
    assert critical_skip(0.2, 4000, first=0.2) / alpha == pytest.approx(10.0, rel=0.05)  # sqrt(L)
    assert math.isinf(critical_skip(0.2, 10, first=0.995))


def test_phases_are_told_apart():
    """Rank collapse comes first, then entropy collapse; else trainable."""
    beta, last = np.array([0.1, 0.1, 3.0, 3.0]), np.array([0.5, 0.999, 0.5, 0.999])
    found = phases(beta, q0=np.array(1.0), p0=np.array(0.0), last=last)
    assert found.tolist() == ["trainable", "rank collapse", "entropy collapse", "rank collapse"]
