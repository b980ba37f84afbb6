"""Rank collapse in width: the spectral law, and the remedy."""

import math

import numpy as np
import pytest

from audit.theory.states import tokens_of
from audit.theory.width import (
    attention_only_ranks,
    expected_stable_rank,
    pattern_spread,
    random_pattern,
    second_singular_value,
    stable_rank,
)

SIGMA_ONE = math.sqrt(math.log(2.0))


def test_score_spread_of_root_log_two_gives_unit_pattern_spread():
    """sigma_A^2 = exp(s^2) - 1."""
    assert pattern_spread(SIGMA_ONE) == pytest.approx(1.0)
    assert second_singular_value(SIGMA_ONE, 400) == pytest.approx(0.1)


def test_random_patterns_have_one_outlier_over_a_bulk():
    """s_1 -> 1 and s_2 -> 2 sigma_A / sqrt(T)."""
    values = np.linalg.svd(random_pattern(400, SIGMA_ONE, np.random.default_rng(0)), compute_uv=False)
    assert values[0] == pytest.approx(1.0, abs=0.005)
    assert values[1] == pytest.approx(0.1, rel=0.1)


def test_stable_rank_falls_by_the_law_and_the_remedy_holds_it_up():
    """The law sr - 1 ~ T^(1 - 2l) with the outlier; without it sr grows with T."""
    lengths = (100, 200, 400)
    runs = [[attention_only_ranks(t, 2, SIGMA_ONE, seed=seed) for seed in range(3)] for t in lengths]
    before, after = (np.array([np.mean([r[side] for r in row], axis=0) for row in runs]) for side in (0, 1))
    slopes = np.polyfit(np.log(lengths), np.log(before - 1), 1)[0]
    assert slopes == pytest.approx([-1, -3], abs=0.4)
    assert after[2, 0] > 1.5 * after[1, 0] > 2.0 * after[0, 0]
    assert attention_only_ranks(20, 2, 1.0, width=60).before.shape == (2,)


@pytest.mark.parametrize(
    ("tokens", "width", "rho"), [(256, 256, 0.0), (256, 256, 0.1), (128, 512, 0.02), (512, 256, 0.05)]
)
def test_stable_rank_follows_from_energy_and_overlap(tokens: int, width: int, rho: float):
    """The spiked covariance of random tokens against tokens drawn outright."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(5):
        common, own = rng.standard_normal((1, width)), rng.standard_normal((tokens, width))
        drawn.append(stable_rank(math.sqrt(rho) * common + math.sqrt(1 - rho) * own))
    expected = expected_stable_rank(tokens_of(1.0, rho), tokens, width)
    assert np.mean(drawn) == pytest.approx(float(expected), rel=0.15)


def test_equal_tokens_have_rank_one():
    """Full collapse is stable rank 1, without a division by zero."""
    assert expected_stable_rank(tokens_of(1.0, 1.0), 64, 64) == 1.0
    assert stable_rank(np.ones((8, 3))) == pytest.approx(1.0)
