"""Metrics of attention on patterns whose answers are known on paper."""

from importlib import import_module
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from audit.metrics.attention_rank import rank_of
from audit.numerics import singular_values
from audit.observations import AttentionObservation
from tests.metrics.synthetic import NAN, attention, random_attention

T = 100
HARMONIC = sum(1 / n for n in range(1, T + 1))


def _value(name: str, observation: AttentionObservation) -> float:
    return float(import_module(f"audit.metrics.{name}").METRIC.compute(observation)[0, 0])


def _even(length: int, *, causal: bool) -> Tensor:
    seen = torch.ones(length, length, dtype=torch.float64)
    seen = seen.tril() if causal else seen
    return seen / seen.sum(-1, keepdim=True)


def _sink() -> Tensor:
    pattern = torch.zeros(T, T, dtype=torch.float64)
    pattern[:, 0] = 1.0
    return pattern


def _previous() -> Tensor:
    pattern = torch.zeros(T, T, dtype=torch.float64)
    pattern[range(1, T), range(T - 1)] = 1.0
    pattern[0, 0] = 1.0
    return pattern


class Known(NamedTuple):
    """A pattern and what is known of it."""

    observation: AttentionObservation
    values: dict[str, float]


KNOWN = {
    "even over all keys": Known(
        attention(_even(T, causal=False)),
        {
            "centred_sigma_1": 0,
            "centred_sigma_2": 0,
            "attention_entropy": 1,
            "attention_entropy_without_sinks": 1,
            "effective_keys": T,
            "top_key_share": 1 / T,
            "sink_mass": 0,
            "self_mass": 1 / T,
            "previous_token_mass": 1 / T,
            "offset_mass": 1 / T,
            "attention_distance": (T**2 - 1) / (3 * T),
            "sigma_1": 1,
            "sigma_2": 0,
            "spectral_gap": 1,
            "stable_rank": 1,
            "attention_rank": 1,
            "rank_one_residual": 0,
        },
    ),
    "even over past keys": Known(
        attention(_even(T, causal=True), causal=True),
        {
            "centred_sigma_1": 0,
            "centred_sigma_2": 0,
            "attention_entropy": 1,
            "attention_entropy_without_sinks": 1,
            "effective_keys": (T + 1) / 2,
            "top_key_share": HARMONIC / T,
            "sink_mass": 0,
            "self_mass": HARMONIC / T,
            "previous_token_mass": (HARMONIC - 1) / (T - 1),
            "offset_mass": HARMONIC / T,
            "attention_distance": (T - 1) / 4,
            "attention_rank": 5,
        },
    ),
    "identity": Known(
        attention(torch.eye(T, dtype=torch.float64)),
        {
            "centred_sigma_1": 1,
            "centred_sigma_2": 1,
            "attention_entropy": 0,
            "attention_entropy_without_sinks": 0,
            "effective_keys": 1,
            "top_key_share": 1,
            "sink_mass": 0,
            "self_mass": 1,
            "previous_token_mass": 0,
            "offset_mass": 1,
            "attention_distance": 0,
            "sigma_1": 1,
            "sigma_2": 1,
            "spectral_gap": 0,
            "stable_rank": T,
            "attention_rank": 9,
            "rank_one_residual": (1 - 1 / T) ** 0.5,
        },
    ),
    "all on the first key": Known(
        attention(_sink()),
        {
            "centred_sigma_1": (T - 1) ** 0.5,
            "centred_sigma_2": 0,
            "attention_entropy": 0,
            "attention_entropy_without_sinks": NAN,
            "effective_keys": 1,
            "top_key_share": 1,
            "sink_mass": 1,
            "self_mass": 1 / T,
            "previous_token_mass": 1 / (T - 1),
            "offset_mass": 1 / (T - 8),
            "attention_distance": (T - 1) / 2,
            "sigma_1": T**0.5,
            "sigma_2": 0,
            "spectral_gap": T**0.5,
            "stable_rank": 1,
            "attention_rank": 1,
            "rank_one_residual": 0,
        },
    ),
    "60% first key, 40% previous": Known(
        attention(0.6 * _sink() + 0.4 * _previous(), causal=True),
        {
            "attention_entropy_without_sinks": 0,
            "effective_keys": (2 + 98 / 0.52) / T,
            "top_key_share": (2 + 98 * 0.6) / T,
            "sink_mass": (2 + 98 * 0.6) / T,
            "self_mass": 1 / T,
            "previous_token_mass": (1 + 98 * 0.4) / (T - 1),
            "offset_mass": (1 + 98 * 0.4) / (T - 1),
            "attention_distance": (1 + sum(0.6 * i + 0.4 for i in range(2, T))) / T,
            "attention_rank": 9,
        },
    ),
    "90% first key, 10% previous": Known(
        attention(0.9 * _sink() + 0.1 * _previous(), causal=True),
        {"attention_rank": 1, "attention_entropy_without_sinks": 0, "sink_mass": (2 + 98 * 0.9) / T},
    ),
    "half even, half first key": Known(
        attention(0.5 * _sink() + 0.5 * _even(T, causal=False)),
        {"attention_entropy_without_sinks": 1, "sink_mass": 0.5 + 0.5 / T, "attention_rank": 1},
    ),
    "a tenth of even, the rest in a learned sink": Known(
        attention(0.1 * _even(T, causal=False)),
        {
            "attention_entropy": 1,
            "effective_keys": T,
            "top_key_share": 1 / T,
            "self_mass": 0.1 / T,
            "attention_distance": (T**2 - 1) / (3 * T),
            "sigma_1": 0.1,
            "stable_rank": 1,
        },
    ),
    "nothing but a learned sink": Known(
        attention(torch.zeros(T, T)),
        {
            "attention_entropy": NAN,
            "attention_entropy_without_sinks": NAN,
            "effective_keys": NAN,
            "top_key_share": NAN,
            "sink_mass": 0,
            "self_mass": 0,
            "previous_token_mass": 0,
            "offset_mass": 0,
            "attention_distance": NAN,
            "sigma_1": 0,
            "sigma_2": 0,
            "spectral_gap": 0,
            "stable_rank": NAN,
            "attention_rank": NAN,
            "rank_one_residual": NAN,
        },
    ),
    "one token": Known(
        attention(torch.ones(1, 1), causal=True),
        {
            "attention_entropy": NAN,
            "effective_keys": 1,
            "sink_mass": 1,
            "self_mass": 1,
            "previous_token_mass": NAN,
            "offset_mass": 1,
            "attention_distance": 0,
            "sigma_1": 1,
            "sigma_2": 0,
            "spectral_gap": 1,
            "attention_rank": 1,
            "rank_one_residual": 0,
        },
    ),
}


@pytest.mark.parametrize(
    ("pattern", "metric"), [(name, metric) for name, known in KNOWN.items() for metric in known.values]
)
def test_a_known_pattern_has_its_known_value(pattern: str, metric: str) -> None:
    """Each metric says on paper what it says in code."""
    expected = KNOWN[pattern].values[metric]

    assert expected == pytest.approx(
        _value(metric, KNOWN[pattern].observation), rel=1e-9, abs=1e-12, nan_ok=True
    )


@pytest.mark.parametrize(("length", "expected"), [(100, 1.63), (256, 1.69)])
def test_even_causal_attention_has_no_gap_of_the_bidirectional_kind(length: int, expected: float) -> None:
    """A causal mask alone moves sigma_1 from 1 towards 2: the baseline depends on the mask."""
    observation = attention(_even(length, causal=True), causal=True)

    assert expected == pytest.approx(_value("sigma_1", observation), abs=0.005)
    assert _value("sigma_2", observation) > 0.5


@pytest.mark.parametrize(("spread", "expected"), [(1.0, 22), (3.0, 32)])
def test_random_causal_scores_have_their_known_rank(spread: float, expected: float) -> None:
    """k90 at T = 100 of softmaxed Gaussian scores."""
    scores = spread * torch.randn(1, 32, T, T, generator=torch.Generator().manual_seed(0))
    pattern = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)
    rank = rank_of(singular_values(pattern))

    assert expected == pytest.approx(float(rank.mean()), abs=1.0)


def test_random_attention_over_all_keys_has_the_known_second_singular_value() -> None:
    """Entries of relative variance 1 give sigma_1 near 1 and sigma_2 near 2 / sqrt(T)."""
    entries = torch.randn(800, 800, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = (entries * torch.tensor(2.0).log().sqrt()).exp()
    observation = attention(weights / weights.sum(-1, keepdim=True))

    assert _value("sigma_1", observation) == pytest.approx(1.0, abs=0.005)
    assert _value("sigma_2", observation) == pytest.approx(2 / 800**0.5, rel=0.05)


@pytest.mark.parametrize("length", range(10, 101, 10))
def test_rounding_asks_for_no_further_direction(length: int) -> None:
    """Where nine directions in ten carry exactly 90%, the rank is nine in ten, at any scale."""
    scaled = torch.stack([scale * torch.eye(length, dtype=torch.float64) for scale in (1.0, 0.7, 0.3, 0.1)])

    assert rank_of(singular_values(scaled)).tolist() == [0.9 * length] * 4


def test_rows_that_see_few_keys_do_not_count_towards_entropy() -> None:
    """Seven keys are too few; with eight, the one row that sees them is the mean."""
    assert _value("attention_entropy", attention(torch.eye(7), causal=True)) != 0.0
    assert _value("attention_entropy", attention(torch.eye(8), causal=True)) == 0.0


def test_entropy_without_sinks_leaves_out_rows_that_keep_too_little() -> None:
    """A row with .5% off the sink has no shape; a row with 40% has."""
    pattern = _even(20, causal=False)
    pattern[:10] = torch.cat((torch.tensor([0.995, 0.005]), torch.zeros(18)))
    pattern[10:] = torch.cat((torch.tensor([0.6]), torch.full((19,), 0.4 / 19)))

    assert _value("attention_entropy_without_sinks", attention(pattern)) == pytest.approx(1.0)


def test_an_offset_that_few_rows_may_see_is_not_a_position() -> None:
    """In ten tokens the last row's sink is also 'nine tokens back', and no head is positional for that."""
    pattern = torch.zeros(10, 10)
    pattern[:, 0] = 1.0

    assert _value("offset_mass", attention(pattern, causal=True)) == pytest.approx(1 / 5)


def test_cross_attention_has_no_positions_in_common() -> None:
    """What needs one axis of positions is undefined for cross-attention; the rest is defined."""
    observation = random_attention(0, cross=True)
    positional = {"self_mass", "previous_token_mass", "offset_mass", "attention_distance"}
    defined = {"attention_entropy", "effective_keys", "sigma_2", "attention_rank", "head_output_norm"}

    assert positional == {
        name for name in positional | defined if _value(name, observation) != _value(name, observation)
    }
