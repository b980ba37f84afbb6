"""The map: laws every block obeys, and what each part of an architecture does to it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from audit.theory.architecture import Placement
from audit.theory.propagation import block, propagate
from audit.theory.rows import EveryKey, Overlapping, rows_of
from audit.theory.states import dials, start, tokens_of
from audit.theory.sublayers import normalised, score_law
from audit.theory.table import FiniteLength, InfiniteLength
from tests.theory.stacks import plain, unit

PAPER = EveryKey(InfiniteLength(256))


def _last(overlaps: Overlapping, architecture: dict[str, object], weights: dict[str, object]) -> float:
    a, i = plain(**architecture), unit(**weights)
    return float(propagate(a, dials(a, i), start(i), overlaps).similarity[-1])


def test_norm_keeps_similarity_and_sets_energy():
    """(q, p) -> (1, p/q); an eps takes its share of small tokens."""
    found = normalised(tokens_of(4.0, 1.0), 0.0)
    assert (found.q, found.p) == (1.0, 0.25)
    assert normalised(tokens_of(1e-5, 0.0), 1e-5).q == pytest.approx(0.5)


def test_without_skip_attention_below_freezing_collapses_in_one_layer():
    """In the published map the tokens are equal after one sublayer; only the skip saves them."""
    assert _last(PAPER, {"skip_attention": 0.0, "depth": 1, "mlp_width": 0}, {}) == 1.0
    assert _last(PAPER, {"depth": 1, "mlp_width": 0}, {}) < 0.5


def test_below_freezing_the_published_map_is_even_attention():
    """Attention without any structure (Y2 = Y12 = 1/T) ends within 1/T of it."""
    even = EveryKey(FiniteLength(256, 12.0, np.zeros(1), np.zeros((1, 1))))
    assert _last(even, {}, {}) == pytest.approx(_last(PAPER, {}, {}), abs=0.01)


@pytest.mark.parametrize("placement", ["pre", "post", "sandwich", "branch", "none"])
def test_similarity_stays_in_bounds_at_any_placement(placement: Placement, overlaps_256: EveryKey):
    """0 <= rho <= 1 and q > 0 after every block, for weak and for absurd weights."""
    for sd in (0.001, 0.06, 3.0):
        a, i = (
            plain(placement=placement, depth=30),
            unit(sd_query=sd, sd_value=sd, sd_mlp_in=sd, sd_mlp_out=sd),
        )
        path = propagate(a, dials(a, i), start(i), overlaps_256)
        assert np.all((path.similarity >= 0) & (path.similarity <= 1))
        assert np.all(np.isfinite(path.energy) & (path.energy > 0))


@pytest.mark.parametrize("skips", [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0)])
def test_a_stronger_skip_keeps_tokens_apart(skips: tuple[float, float], overlaps_256: EveryKey):
    """In post-LN the similarity at the end falls as the skip grows."""
    weak, strong = (_last(overlaps_256, {"skip_attention": s, "skip_mlp": s}, {}) for s in skips)
    assert strong < weak


def test_deeper_stacks_are_more_alike(overlaps_256: EveryKey):
    """Similarity never falls along a post-LN stack below freezing."""
    a, i = plain(depth=20), unit()
    assert np.all(np.diff(propagate(a, dials(a, i), start(i), overlaps_256).similarity) >= 0)


def test_centred_attention_takes_the_common_part_away(overlaps_256: EveryKey):
    """A - 11^T/T collapses less than A."""
    assert _last(overlaps_256, {"centred": True, "mlp_width": 0}, {}) < _last(
        overlaps_256, {"mlp_width": 0}, {}
    )


def test_pre_norm_and_small_projections_slow_the_collapse_down(overlaps_256: EveryKey):
    """Pre-LN ends below post-LN; dividing the residual projections by sqrt(2L) ends lower still."""
    post, pre = _last(overlaps_256, {}, {}), _last(overlaps_256, {"placement": "pre"}, {})
    factor = 1 / math.sqrt(12)
    small = _last(overlaps_256, {"placement": "pre"}, {"sd_output": factor / 16, "sd_mlp_out": factor / 16})
    assert small < pre < post


def test_relu_mixes_more_than_a_linear_mlp(overlaps_256: EveryKey):
    """A linear MLP keeps similarity; ReLU raises it; a gate lowers it below plain SiLU."""
    bare = _last(overlaps_256, {"mlp_width": 0}, {})
    assert _last(overlaps_256, {"activation": "relu"}, {}) > bare > 0
    plain_silu, gated = (_last(overlaps_256, {"activation": "silu", "gated": g}, {}) for g in (False, True))
    assert gated < plain_silu


def test_biases_make_tokens_alike(overlaps_256: EveryKey):
    """A bias is common to all tokens."""
    assert _last(overlaps_256, {}, {"bias_variance": 0.1}) > _last(overlaps_256, {}, {})


def test_parallel_branches_add_up(overlaps_256: EveryKey):
    """One parallel block with a silent MLP is an attention-only block."""
    parallel = _last(overlaps_256, {"parallel": True, "placement": "pre", "depth": 1}, {"sd_mlp_out": 0.0})
    assert parallel == _last(overlaps_256, {"placement": "pre", "depth": 1, "mlp_width": 0}, {})


def test_score_spread_follows_the_tokens():
    """s^2 = sigma_a^2 q (q - p); a query bias adds to it; normed queries and keys leave 1 - rho."""
    i, x = unit(), tokens_of(2.0, 0.5)
    a = plain()
    law = score_law(a, dials(a, i), x, PAPER)
    assert law.spread == pytest.approx(0.05**2 * 256 * math.sqrt(2.0 * 1.5))
    assert law.correlation == pytest.approx(0.25)
    biased = score_law(a, dials(a, unit(bias_variance=0.1)), x, PAPER)
    assert biased.spread > law.spread
    assert biased.correlation > law.correlation
    normed = plain(qk_norm=True)
    assert score_law(normed, dials(normed, i), x, PAPER).spread == pytest.approx(math.sqrt(0.75))
    unscaled = plain(score_scale=1.0)
    assert score_law(unscaled, dials(unscaled, i), x, PAPER).spread == pytest.approx(16 * law.spread)


def test_energy_far_beyond_floating_point_keeps_the_similarity(overlaps_256: EveryKey):
    """A thousand pre-LN blocks with skip 10 overflow nothing."""
    a, i = plain(placement="pre", depth=1000, skip_attention=10.0, skip_mlp=10.0), unit()
    path = propagate(a, dials(a, i), start(i), overlaps_256)
    assert np.isfinite(path.energy).all()
    assert path.similarity[-1] == pytest.approx(path.similarity[-2])
    assert 0.2 <= path.similarity[-1] < 0.3


def test_cells_of_a_grid_do_not_know_of_each_other(overlaps_256: EveryKey):
    """Many models sent through together end where each ends alone."""
    a, i = plain(), unit()
    gains = dials(a, i)
    together = propagate(a, gains._replace(skip_attention=np.array([0.5, 1.0, 2.0])), start(i), overlaps_256)
    alone = propagate(a, gains._replace(skip_attention=np.array(2.0)), start(i), overlaps_256)
    np.testing.assert_allclose(together.similarity[:, 2], alone.similarity)
    assert block(a, gains, start(i), overlaps_256).q == pytest.approx(1.0)
    assert replace(a, norm="rms") != a


def test_causal_stacks_share_what_their_first_tokens_say(overlaps_256: EveryKey):
    """Unlike tokens grow alike sooner under a causal mask: running means overlap by 1/max(i, k), not by 1/T."""
    free, masked = plain(placement="pre", depth=4), plain(placement="pre", depth=4, causal=True)
    i = unit(p0=0.0, sd_query=0.01, sd_key=0.01)
    first, second = (
        propagate(a, dials(a, i), start(i), rows).similarity[-1]
        for a, rows in ((free, overlaps_256), (masked, rows_of(masked)))
    )
    assert second > first > 0


def test_deep_causal_stacks_are_followed_at_the_late_tokens():
    """After 64 blocks one position stands for all, without a jump in similarity."""
    a, i = plain(placement="pre", depth=66, causal=True, tokens=64), unit()
    path = propagate(a, dials(a, i), start(i), rows_of(a))
    assert len(path.states[64].energies) > 1 == len(path.states[65].energies)
    assert path.similarity[65] == pytest.approx(path.similarity[64], abs=0.01)


def test_tokens_grow_uneven_and_skips_hold_them_even(overlaps_256: EveryKey):
    """Anisotropy starts at 1, grows with every block, and hardly does where the skip dominates."""
    found = {}
    for skip in (1.0, 10.0):
        a, i = plain(skip_attention=skip, skip_mlp=skip), unit()
        states = propagate(a, dials(a, i), start(i), overlaps_256).states
        found[skip] = np.array([float(each.uneven) for each in states])
    assert found[1.0][0] == 1.0
    assert np.all(np.diff(found[1.0]) > 0)
    assert 1.0 <= found[10.0][-1] < 1.2 < found[1.0][-1]


def test_narrow_layers_pull_rows_towards_their_queries(overlaps_256: EveryKey):
    """Per channel attention adds more energy in a narrow model than in a wide one, at the same scores."""
    energies = []
    for width in (256, 8192):
        a = plain(
            width=width, head_dim=width, mlp_width=0, depth=1, output_projection=False, skip_attention=0.0
        )
        a = replace(a, placement="pre")
        i = unit(sd_query=width**-0.5, sd_key=width**-0.5, sd_value=width**-0.5, p0=0.0)
        energies.append(float(propagate(a, dials(a, i), start(i), overlaps_256).energy[-1]))
    assert energies[0] > 1.2 * energies[1]
