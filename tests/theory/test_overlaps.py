"""Overlaps, entropies and spreads of random rows against samples, limits and known numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.theory.overlaps import FROZEN, cross_overlap, own_overlap, row_entropy, row_moments


def _sampled(s: float, c: float, tokens: int, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of Y2, Y12, H, F and F12 over rows drawn outright."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, tokens))
    y = c * x + math.sqrt(1 - c * c) * rng.standard_normal((rows, tokens))
    a, b = (np.exp(s * z) / np.exp(s * z).sum(1, keepdims=True) for z in (x, y))
    own, cross = (a * a).sum(1), (a * b).sum(1)
    entropy = -(a * np.log(np.maximum(a, 1e-300))).sum(1)
    first = own + own**2 - 2 * (a**3).sum(1)
    second = cross + cross**2 - (a * a * b).sum(1) - (a * b * b).sum(1)
    drawn = np.stack([own, cross, entropy, first, second], axis=1)
    return drawn.mean(0), drawn.std(0) / math.sqrt(rows)


@pytest.mark.parametrize("tokens", [2, 32, 256])
@pytest.mark.parametrize("s", [0.3, 1.0, 3.5, 8.0])
@pytest.mark.parametrize("c", [0.1, 0.9, 0.9999])
def test_integrals_agree_with_rows_drawn_at_random(tokens: int, s: float, c: float):
    """Y2, Y12, H, F and F12 lie within four standard errors of a sample."""
    mean, error = _sampled(s, c, tokens)
    own, cross, first, second = row_moments(s, c, tokens)
    found = np.array([own, cross, row_entropy(s, tokens), first, second])
    assert np.all(np.abs(found - mean) < 4 * error + 1e-9)


@pytest.mark.parametrize(("beta", "expected"), [(1.0, 0.10), (1.5, 0.28), (2.0, 0.42), (3.0, 0.60)])
def test_overlap_of_512_keys_has_its_known_values(beta: float, expected: float):
    """Y2 at T = 512 as computed when the theory was chosen."""
    assert own_overlap(beta * math.sqrt(math.log(512)), 512) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    ("tokens", "entropy", "overlap"),
    [(32, 0.48, 0.34), (128, 0.43, 0.28), (512, 0.39, 0.25), (1024, 0.37, 0.24), (2048, 0.36, 0.22)],
)
def test_freezing_is_gradual_at_finite_length(tokens: int, entropy: float, overlap: float):
    """At s = sqrt(2 log T) a row still has a third of the largest entropy, not none."""
    s = math.sqrt(2 * math.log(tokens))
    assert row_entropy(s, tokens) / math.log(tokens) == pytest.approx(entropy, abs=0.006)
    assert own_overlap(s, tokens) == pytest.approx(overlap, abs=0.006)


@pytest.mark.parametrize("tokens", [2, 7, 512, 10**6])
def test_equal_scores_give_even_attention(tokens: int):
    """With s = 0 both overlaps are 1/T and the entropy is log T."""
    assert own_overlap(0.0, tokens) == pytest.approx(1 / tokens, rel=1e-6)
    assert cross_overlap(0.0, 0.5, tokens) == pytest.approx(1 / tokens, rel=1e-6)
    assert row_entropy(0.0, tokens) == pytest.approx(math.log(tokens), rel=1e-6)


def test_two_keys_have_a_closed_form():
    """For T = 2, A = logistic(N(0, 2 s^2)), so Y2 is a one-dimensional integral."""
    z = np.linspace(-12, 12, 200_001)
    weight = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    for s in (0.2, 1.0, 4.0):
        share = 1 / (1 + np.exp(-s * math.sqrt(2) * z))
        assert own_overlap(s, 2) == pytest.approx(
            float(((share**2 + (1 - share) ** 2) * weight).sum()), rel=1e-6
        )


def test_long_rows_below_freezing_lose_half_the_variance_in_entropy():
    """H = log T - s^2/2 as T grows."""
    assert row_entropy(1.0, 10**6) == pytest.approx(math.log(10**6) - 0.5, abs=0.01)


def test_equal_rows_overlap_as_one_and_unlike_rows_as_even_ones():
    """Y12 runs from 1/T at correlation 0 to Y2 at 1."""
    assert cross_overlap(3.0, 1.0, 128) == pytest.approx(own_overlap(3.0, 128), rel=1e-9)
    assert cross_overlap(3.0, 0.0, 128) == pytest.approx(1 / 128, rel=1e-5)
    assert row_moments(3.0, 1.0, 128).cross_spread == pytest.approx(
        row_moments(3.0, 0.3, 128).own_spread, rel=1e-9
    )


def test_nearly_equal_rows_join_on_smoothly():
    """Below the narrowest angle the interpolation meets the integral."""
    values = [cross_overlap(3.0, math.cos(angle), 128) for angle in (0.0199, 0.0201)]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(s=st.floats(0.05, 6.0), c=st.floats(0.0, 1.0), tokens=st.integers(2, 5000))
def test_overlaps_keep_their_order(s: float, c: float, tokens: int):
    """1/T <= Y12 <= Y2 <= 1 for every spread, correlation and length."""
    own, cross = own_overlap(s, tokens), cross_overlap(s, c, tokens)
    assert 1 / tokens * (1 - 1e-6) <= cross <= own * (1 + 1e-6) <= 1 + 1e-6


@settings(max_examples=20, deadline=None)
@given(s=st.floats(0.05, 5.0), tokens=st.integers(2, 2000))
def test_sharper_scores_overlap_more_and_spread_less(s: float, tokens: int):
    """Y2 grows and H falls with the spread of the scores."""
    assert own_overlap(1.1 * s, tokens) > own_overlap(s, tokens)
    assert row_entropy(1.1 * s, tokens) < row_entropy(s, tokens)


def test_far_beyond_freezing_rows_close_in_on_one_key():
    """Past the integrated range 1 - Y2, H and the spreads go on falling as 1/s, without a jump."""
    for value in (own_overlap, row_entropy):
        below, above = value(FROZEN * 0.999, 64), value(FROZEN * 1.001, 64)
        assert below == pytest.approx(above, rel=0.005)
    assert 1 - own_overlap(1200.0, 64) == pytest.approx((1 - own_overlap(12.0, 64)) / 100)
    assert row_entropy(1200.0, 64) == pytest.approx(row_entropy(12.0, 64) / 100)
    assert row_moments(1200.0, 0.9, 64).own_spread < 0.001
    assert cross_overlap(24.0, 0.8, 64) > cross_overlap(12.0, 0.8, 64)
