"""What happens layer by layer: forward, and backward to W_Q."""

import math
from dataclasses import replace

import numpy as np
import pytest

from audit.results.trainability import Profile
from audit.theory.backward import backward, block_moments
from audit.theory.configuration import Reading, from_config
from audit.theory.profile import angle_exponents, profile
from audit.theory.propagation import paths, propagate
from audit.theory.rows import EveryKey, rows_of
from audit.theory.states import dials, start
from tests.theory.configurations import BERT, LLAMA
from tests.theory.stacks import plain, unit


def _profile(reading: Reading) -> Profile:
    a = reading.architecture
    return profile(paths(a, reading.initialisation, rows_of(a)))


def test_profile_has_one_entry_per_block():
    """One value before the first block and one after each: depth + 1 along the stream, depth for what a block does, twelve blocks at most for what costs more."""
    reading = from_config(LLAMA)
    found = _profile(reading)
    for name in (
        "similarity",
        "similarity_infinite",
        "similarity_centred",
        "energy",
        "stable_rank",
        "anisotropy",
    ):
        assert len(getattr(found, name)) == 31
    assert len(found.angle_exponent) == 30
    assert len(found.blocks) == len(found.entropy_share) == len(found.per_token.query) == 12
    assert (found.blocks[0], found.blocks[-1]) == (1, 30)


def test_query_gradient_vanishes_as_tokens_grow_alike():
    """In a BERT of 60 blocks the first layers keep their W_Q gradient, the last ones lose it."""
    reading = from_config(BERT | {"num_hidden_layers": 60, "initializer_range": 0.04})
    found = _profile(reading)
    assert found.pooled.query[-1] < 1e-12 * found.pooled.query[0]


def test_shared_gradients_reach_the_scores_hardest():
    """A loss of the mean token keeps its likeness on the way down, one of every token stays unlike."""
    reading = from_config(BERT)
    found = _profile(reading)
    assert found.pooled.alike[-1] == 1.0
    assert min(found.pooled.alike) > 0.5
    assert max(found.per_token.alike) < 0.01
    assert abs(found.per_token.exponent) * 12 < math.log(10)


def test_removing_the_mean_of_attention_keeps_the_rank_up(overlaps_256: EveryKey):
    """The remedy against rank collapse in width, before and after, where attention alone acts."""
    found = profile(paths(plain(mlp_width=0, depth=12), unit(p0=0.0), overlaps_256))
    assert found.stable_rank[-1] < 1.1
    assert found.stable_rank_centred[-1] > 10 * found.stable_rank[-1]
    assert found.similarity_centred[-1] < found.similarity[-1]


def test_angle_exponent_tells_order_from_chaos(overlaps_256: EveryKey):
    """Negative where similar tokens draw together; one skip-dominated block does next to nothing."""
    a, i = plain(depth=2), unit()
    path = propagate(a, dials(a, i), start(i), overlaps_256)
    assert np.all(angle_exponents(a, dials(a, i), path, overlaps_256) < -0.1)
    strong = replace(a, skip_attention=30.0, skip_mlp=30.0)
    assert angle_exponents(strong, dials(strong, i), path, overlaps_256) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"placement": "pre"},
        {"placement": "sandwich"},
        {"placement": "branch"},
        {"parallel": True, "placement": "pre"},
        {"gated": True, "activation": "silu"},
        {"mlp_width": 0},
        {"qk_norm": True},
    ],
)
def test_gradient_towards_the_input_is_that_of_the_skip_when_branches_are_weak(
    changes: dict[str, object], overlaps_256: EveryKey
):
    """With branches of sd 1e-4 behind unit skips, backward does nothing to the gradient but what norms do."""
    quiet = unit(sd_value=1e-4, sd_mlp_out=1e-4)
    a = plain(**changes)
    if a.placement in {"sandwich", "branch"}:
        a = replace(a, skip_attention=100.0, skip_mlp=100.0, depth=1)
    gains = dials(a, quiet)
    path = propagate(a, gains, start(quiet), overlaps_256)
    back = backward(
        a, gains, path, overlaps_256, moments=block_moments(a, gains, path, overlaps_256), alike=0.3
    )
    kept = 1.0 if a.skip_attention == 1 else 100.0**4
    assert back.stream[0].own / kept == pytest.approx(1.0, rel=0.01)
    assert back.stream[0].alike == pytest.approx(0.3, rel=0.02)


def test_attention_makes_pooled_gradients_alike_in_the_tokens_below(overlaps_256: EveryKey):
    """Through even attention alone every token gets the same gradient."""
    a, i = plain(skip_attention=0.0, mlp_width=0, depth=1, placement="none"), unit(sd_query=1e-3, sd_key=1e-3)
    gains = dials(a, i)
    path = propagate(a, gains, start(i), overlaps_256)
    back = backward(a, gains, path, overlaps_256, moments=block_moments(a, gains, path, overlaps_256))
    assert back.heads[0].alike == 0.0
    assert back.stream[0].alike == pytest.approx(1.0, abs=0.01)


def test_query_gradient_of_normed_queries_does_not_depend_on_their_key_spread(overlaps_512: EveryKey):
    """QK-norm undoes any scaling of W_K."""
    reading = from_config(LLAMA | {"use_qk_norm": True})
    wider = replace(reading.initialisation, sd_key=0.2)
    both = [
        profile(paths(reading.architecture, i, overlaps_512)).per_token.query
        for i in (reading.initialisation, wider)
    ]
    assert both[0] == pytest.approx(both[1])
