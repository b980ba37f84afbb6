"""The W_Q gradient: its limits, its parts, and its law of vanishing."""

import math

import pytest

from audit.theory.gradients import query_gradient

_LAYER = {"score_sd": 1.0, "tokens": 256, "width": 256, "key_gain": 1.0, "value_gain": 1.0}


def test_gradient_vanishes_with_rank_collapse():
    """As rho -> 1 it goes down at least as (1 - rho)^2."""
    near = [query_gradient(q=1.0, p=p, **_LAYER, gradient_similarity=1.0).total for p in (0.9, 0.99, 0.999)]
    assert near[0] > 50 * near[1] > 2500 * near[2] > 0
    assert query_gradient(q=1.0, p=1.0, **_LAYER).total == 0.0


def test_likeness_of_token_gradients_is_the_larger_part():
    """At rho = c_g = .5 the shared part outweighs the own part ten times and more."""
    found = query_gradient(q=1.0, p=0.5, **_LAYER, gradient_similarity=0.5)
    assert 10 < found.shared / found.own < 200
    assert found.total == pytest.approx(found.own + found.shared)


def test_gradient_scales_with_the_square_of_what_it_is_linear_in():
    """Four times |g|^2, s_V or s_K is four times the squared norm."""
    base = query_gradient(q=1.0, p=0.3, **_LAYER, gradient_similarity=0.2).total
    assert query_gradient(
        q=1.0, p=0.3, **_LAYER, gradient_similarity=0.2, gradient=4.0
    ).total == pytest.approx(4 * base)
    for gain in ("key_gain", "value_gain"):
        layer = _LAYER | {gain: 4.0}
        assert query_gradient(q=1.0, p=0.3, **layer, gradient_similarity=0.2).total == pytest.approx(4 * base)


def test_unlike_tokens_share_gradient_through_the_scatter_of_their_overlap():
    """At rho = 0 equal token gradients still add up: s^2 exp(-s^2) T/d of the own part, to first order."""
    found = query_gradient(q=1.0, p=0.0, **(_LAYER | {"score_sd": 0.5}), gradient_similarity=1.0)
    assert 0.1 < found.shared / found.own < 0.3


def test_even_attention_has_a_closed_form():
    """With s = 0 the pattern is even, and G = (1 - 1/T) (1/T + 1/d)."""
    layer = _LAYER | {"score_sd": 0.0}
    t = d = 256
    found = query_gradient(q=1.0, p=0.0, **layer)
    assert found.total == pytest.approx(d * t * (1 - 1 / t) * (1 / t + 1 / d), rel=1e-4)


def test_uneven_tokens_get_more_gradient():
    """The bulk part of the room grows with the anisotropy."""
    even, uneven = (query_gradient(q=1.0, p=0.3, **_LAYER, anisotropy=pi).total for pi in (1.0, 2.0))
    assert even < uneven < 2 * even


def test_frozen_attention_passes_little():
    """Attention on one key has no gradient towards the scores."""
    soft, hard = (query_gradient(q=1.0, p=0.0, **(_LAYER | {"score_sd": s})).total for s in (3.0, 300.0))
    assert hard < 0.05 * soft


def test_scores_may_be_more_alike_than_tokens():
    """A query bias raises the overlap of rows and so the shared part."""
    shared = [
        query_gradient(q=1.0, p=0.2, **_LAYER, gradient_similarity=1.0, score_similarity=c).shared
        for c in (0.2, 0.9)
    ]
    assert shared[0] < shared[1]
    assert math.isfinite(shared[1])
