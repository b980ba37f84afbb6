"""Metrics of the residual stream on streams whose answers are known on paper."""

import math
from importlib import import_module

import pytest
import torch
from torch import Tensor

from audit.observations import ResidualObservation
from tests.metrics.synthetic import NAN, random_residual, residual


def _value(name: str, observation: ResidualObservation) -> float:
    return float(import_module(f"audit.metrics.{name}").METRIC.compute(observation)[0])


def _same(expected: float, name: str, observation: ResidualObservation) -> None:
    assert expected == pytest.approx(_value(name, observation), rel=1e-9, abs=1e-12, nan_ok=True)


def _updates(attention: Tensor | None, mlp: Tensor | None) -> ResidualObservation:
    return residual(torch.ones(1, 3, 4), attention_update=attention, mlp_update=mlp)


def _constant(norm: float) -> Tensor:
    return torch.full((1, 3, 4), norm / 2)


@pytest.mark.parametrize(
    ("attention", "mlp", "expected"),
    [
        (_constant(3.0), _constant(1.0), 0.75),
        (_constant(0.0), _constant(1.0), 0.0),
        (_constant(0.0), _constant(0.0), NAN),
        (None, _constant(1.0), NAN),
        (_constant(1.0), None, NAN),
    ],
)
def test_shares_are_of_the_norms_of_both_updates(
    attention: Tensor | None, mlp: Tensor | None, expected: float
) -> None:
    """Attention and MLP share 1 between them, or neither is defined."""
    observation = _updates(attention, mlp)

    _same(expected, "attention_share", observation)
    _same(1 - expected, "mlp_share", observation)


def test_a_token_to_which_nothing_is_added_has_no_share() -> None:
    """0/0 for one token does not spoil the mean of the others."""
    attention, mlp = _constant(3.0), _constant(1.0)
    attention[0, 1] = mlp[0, 1] = 0.0

    _same(0.75, "attention_share", _updates(attention, mlp))


EAST, NORTH = torch.eye(2).expand(1, 2, 2).unbind(1)
EAST, NORTH = (axis[:, None].expand(1, 3, 2) for axis in (EAST, NORTH))


@pytest.mark.parametrize(
    ("after", "expected"), [(5 * EAST, 0), (NORTH, 1), (EAST + NORTH, 1 - 0.5**0.5), (-EAST, 2)]
)
def test_influence_is_how_far_tokens_turn(after: Tensor, expected: float) -> None:
    """Length does not count; a right angle is 1; the two influences agree where attention is the whole block."""
    observation = residual(after, before=EAST, attention_update=after - EAST)

    _same(expected, "block_influence", observation)
    _same(expected, "attention_influence", observation)


def test_a_block_is_counted_at_its_first_attention_layer_only() -> None:
    """The cross-attention of a block does not report the block's influence a second time."""
    _same(NAN, "block_influence", residual(NORTH, before=EAST, opens_block=False))


def test_attention_that_was_not_seen_has_no_influence() -> None:
    """Without an update the influence is undefined, not 0."""
    _same(NAN, "attention_influence", residual(EAST))


def test_a_token_without_direction_does_not_count() -> None:
    """The zero vector has no angle with anything."""
    after = torch.stack((torch.zeros(1, 2), *NORTH.unbind(1)[:2]), dim=1)

    _same(1.0, "block_influence", residual(after, before=EAST))
    _same(1.0, "token_similarity", residual(after))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (torch.ones(1, 5, 3), 1.0),
        (torch.eye(4)[None], 0.0),
        (torch.tensor([[[1.0], [-1.0]]]), -1.0),
        (torch.tensor([[[1.0], [1.0], [-1.0]]]), -1 / 3),
        (torch.ones(1, 1, 3), NAN),
    ],
)
def test_similarity_is_the_mean_over_pairs(tokens: Tensor, expected: float) -> None:
    """All alike 1, all at right angles 0, two opposite -1, one alone undefined."""
    _same(expected, "token_similarity", residual(tokens))


def test_sink_tokens_can_be_left_out_of_the_similarity() -> None:
    """One token that points the other way hides that all others are alike."""
    tokens = torch.ones(1, 6, 3)
    tokens[0, 0] = -100.0
    sinks = torch.zeros(1, 6, dtype=torch.bool)
    sinks[0, 0] = True

    _same(1 / 3, "token_similarity", residual(tokens, sinks=sinks))
    _same(1.0, "token_similarity_without_sink", residual(tokens, sinks=sinks))


def test_standardising_hides_a_collapse_onto_one_vector() -> None:
    """The trap that `healthy` warns of: raw .99, standardised that of unrelated tokens."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, 50, 200, generator=generator) + 10.0 * torch.randn(1, 1, 200, generator=generator)

    assert _value("token_similarity", residual(tokens)) > 0.98
    assert _value("token_similarity_standardised", residual(tokens)) == pytest.approx(-1 / 49, abs=0.002)


def test_standardising_takes_away_the_rule_of_one_channel() -> None:
    """A channel 1,000 times the others makes tokens look alike; on one scale they are not."""
    tokens = torch.randn(1, 50, 200, generator=torch.Generator().manual_seed(0))
    tokens[..., 0] = 1000.0 + 10.0 * tokens[..., 0]

    assert _value("token_similarity", residual(tokens)) > 0.9
    assert abs(_value("token_similarity_standardised", residual(tokens))) < 0.03


def test_channels_that_do_not_vary_say_nothing() -> None:
    """Two tokens differ by sign in one channel and share the rest: opposite. If nothing varies: undefined."""
    tokens = torch.tensor([[[1.0, 0.1, 7.0], [-1.0, 0.1, 7.0]]])

    _same(-1.0, "token_similarity_standardised", residual(tokens))
    common = torch.randn(1, 1, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _same(NAN, "token_similarity_standardised", residual(common.repeat(1, 11, 1)))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (torch.eye(4)[None], 1.0),
        (torch.eye(6)[None, :4], 1.0),
        (torch.ones(1, 8, 4), 1 / 4),
        (torch.ones(1, 3, 4), 1 / 3),
        (torch.cat((torch.eye(2), torch.zeros(2, 2)), 1)[None].repeat(1, 2, 1), 0.5),
        (torch.zeros(1, 3, 4), NAN),
    ],
)
def test_effective_rank_is_a_share_of_what_tokens_could_span(tokens: Tensor, expected: float) -> None:
    """Orthonormal tokens read 1, tokens on one line 1/min(T, d), tokens of zero nothing."""
    _same(expected, "token_effective_rank", residual(tokens))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([1.0, -1.0, 1.0, -1000.0, 1.0], 1000.0),
        ([1.0, 3.0, 3.0, -1.0], 1.5),
        ([0.0, 0.0, 0.0, 5.0], NAN),
        ([NAN, 1.0, 1.0, 1.0], NAN),
    ],
)
def test_massive_activation_is_the_largest_over_the_median(entries: list[float], expected: float) -> None:
    """Of magnitudes; an even count takes the middle of the two medians; a median of 0 gives nothing."""
    _same(expected, "massive_activation", residual(torch.tensor([[entries]])))


def test_the_similarity_of_random_tokens_is_that_of_their_common_vector() -> None:
    """Tokens c + n of widths |c|^2 = |n|^2 have an expected cosine of one half."""
    generator = torch.Generator().manual_seed(0)
    noise, common = (
        torch.randn(1, 60, 4000, generator=generator),
        torch.randn(1, 1, 4000, generator=generator),
    )

    assert _value("token_similarity", residual(noise + common)) == pytest.approx(0.5, abs=0.02)
    assert _value("token_similarity", random_residual(0)) > 0.2


@pytest.mark.parametrize(
    ("tokens", "rank", "residual_ratio"),
    [
        (torch.eye(4)[None], 4.0, 0.75**0.5),
        (torch.ones(1, 5, 3), 1.0, 0.0),
        (torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]), 1.0, 1.0),
        (torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]), 17 / 16, (5 / 2 / 5) ** 0.5),
        (torch.zeros(1, 3, 4), NAN, NAN),
    ],
    ids=["orthonormal", "all alike", "opposite", "unequal", "zero"],
)
def test_stable_rank_and_residual_of_known_tokens(tokens: Tensor, rank: float, residual_ratio: float) -> None:
    """s^4 over the largest; the mean taken out; together with the energy of the mean it is all there is."""
    observation = residual(tokens)

    _same(rank, "token_stable_rank", observation)
    _same(rank, "token_stable_rank_without_sink", observation)
    _same(residual_ratio, "token_residual", observation)
    _same(1 - residual_ratio**2, "mean_token_energy", observation)


def test_the_norm_of_the_theorem_is_of_columns_and_rows() -> None:
    """Tokens (3, 1) and (1, 1): beyond their mean +-(1, 0); sqrt(2 x 1) over sqrt(4 x 4)."""
    _same(2**0.5 / 4, "token_residual_1_inf", residual(torch.tensor([[[3.0, 1.0], [1.0, 1.0]]])))
    _same(0.0, "token_residual_1_inf", residual(torch.ones(1, 5, 3)))
    _same(NAN, "token_residual_1_inf", residual(torch.zeros(1, 5, 3)))


def test_a_sink_is_left_out_of_rank_and_mean() -> None:
    """One huge token forces rank one; the others span three directions."""
    tokens = torch.eye(4)[None].clone()
    tokens[0, 0] *= 1000.0
    sinks = torch.tensor([[True, False, False, False]])

    assert _value("token_stable_rank", residual(tokens, sinks=sinks)) == pytest.approx(1.0)
    _same(3.0, "token_stable_rank_without_sink", residual(tokens, sinks=sinks))
    _same(1 / 3, "mean_token_energy", residual(tokens, sinks=sinks))


def test_the_angle_exponent_is_how_tokens_come_together() -> None:
    """From right angles (1 - c = 1) to 60 degrees (1/2): -ln 2; backwards: ln 2; nothing where all are alike."""
    right = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    sixty = torch.tensor([[[1.0, 0.0], [0.5, 0.75**0.5]]])
    together = residual(sixty, before=right)

    assert _value("angle_exponent", together) == pytest.approx(-math.log(2), rel=1e-6)
    assert _value("angle_exponent", residual(right, before=sixty)) == pytest.approx(math.log(2), rel=1e-6)
    _same(NAN, "angle_exponent", residual(right, before=torch.ones(1, 2, 2)))
    _same(NAN, "angle_exponent", residual(sixty, before=right, opens_block=False))
