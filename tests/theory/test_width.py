"""Rank collapse in width: the spectral law, its nulls under a mask, and the remedy."""

import math

import numpy as np
import pytest

from audit.theory.states import tokens_of
from audit.theory.width import (
    attention_only_ranks,
    causal,
    expected_stable_rank,
    masked_uniform,
    pattern_spread,
    random_pattern,
    same_mask_null,
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
    null = same_mask_null(np.ones((400, 400), np.bool_), SIGMA_ONE, draws=2)
    assert null.first == pytest.approx(1.0, abs=0.005)
    assert null.second == pytest.approx(0.1, rel=0.1)
    assert null.first_structure == pytest.approx(0.1, rel=0.15)  # the outlier is the masked-uniform part


@pytest.mark.parametrize(("tokens", "first"), [(100, 1.63), (256, 1.69)])
def test_causal_mask_alone_moves_the_spectrum(tokens: int, first: float):
    """Uniform causal attention has s_1 of 1.63 and 1.69, and s_2 above 1."""
    values = np.linalg.svd(masked_uniform(causal(tokens)), compute_uv=False)
    assert values[0] == pytest.approx(first, abs=0.005)
    assert values[1] > 1


def test_null_knows_the_mask_and_the_sharpness():
    """Under a causal mask s_1 of the null is the uniform one; sharper rows have more structure."""
    soft, sharp = (same_mask_null(causal(100), s, draws=5) for s in (0.1, 2.0))
    assert soft.first == pytest.approx(1.63, abs=0.02)
    assert soft.upper("first_structure") < sharp.upper("first_structure", 0.05)
    per_row = same_mask_null(causal(100), np.full(100, 2.0), draws=5)
    np.testing.assert_array_equal(per_row.first, sharp.first)


def test_patterns_attend_only_to_what_is_seen():
    """Rows sum to 1 over the seen keys; a row that sees nothing is 0."""
    seen = causal(5)
    seen[2] = False
    pattern = random_pattern(seen, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(pattern.sum(-1), [1, 1, 0, 1, 1])
    assert not pattern[~seen].any()
    np.testing.assert_allclose(masked_uniform(seen)[4], 0.2)


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
