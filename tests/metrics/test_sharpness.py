"""How sharp scores can make attention: known scores, any scores, and the scores of a real model."""

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoTokenizer

from audit.checkpoint.opening import open_checkpoint
from audit.metrics.entropy_floor import least_entropy
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.models.observing import observe
from audit.numerics import row_entropy
from audit.observations import AttentionObservation, Batch
from tests.metrics.real_observations import BRIDGE
from tests.metrics.synthetic import attention

T = 20


def _value(name: str, observation: AttentionObservation) -> Tensor:
    found: Tensor = import_module(f"audit.metrics.{name}").METRIC.compute(observation)
    return found


def _scored(scores: Tensor, *, causal: bool = False, **more: Tensor) -> AttentionObservation:
    scores = scores.expand(1, 1, T, T)
    masked = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf) if causal else scores
    return attention(masked.softmax(-1), causal=causal, scores=scores, **more)


@pytest.mark.parametrize("causal", [False, True])
def test_even_scores_cannot_collapse(causal: bool) -> None:
    """The floor is the whole entropy, nothing is frozen, and the turned head is even too."""
    even = _scored(torch.zeros(T), causal=causal)

    assert float(_value("entropy_floor", even)) == pytest.approx(1.0)
    assert float(_value("freezing", even)) == 0.0


def test_one_score_above_the_others_reaches_the_floor() -> None:
    """The bound is tight: that is the row which has the least entropy of its size."""
    scores = torch.zeros(T, dtype=torch.float64)
    scores[3] = 4.0
    observation = _scored(scores)

    torch.testing.assert_close(_value("entropy_floor", observation), _value("attention_entropy", observation))


def test_scores_at_the_critical_spread_read_one() -> None:
    """Plus and minus sqrt(2 ln n), half each."""
    scores = math.sqrt(2 * math.log(T)) * (-1.0) ** torch.arange(T)

    assert float(_value("freezing", _scored(scores))) == pytest.approx(1.0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(-60, 60), min_size=2, max_size=40))
def test_no_row_has_less_entropy_than_its_floor(row: list[float]) -> None:
    """Whatever the scores, however many."""
    scores = torch.tensor(row, dtype=torch.float64)
    floor = least_entropy((scores - scores.mean()).norm(), torch.tensor(len(row)))

    assert float(row_entropy(scores.softmax(-1))) >= float(floor) - 1e-12


@pytest.mark.parametrize("keys", [2, 3, 50])
def test_the_floor_falls_from_all_to_nothing(keys: int) -> None:
    """Log n at a radius of 0, about n R exp(-R) at large ones, monotonous between."""
    found = least_entropy(torch.linspace(0, 40, 200), torch.full((200,), keys))

    assert float(found[0]) == pytest.approx(math.log(keys))
    assert float(found[-1]) < 1e-12
    assert bool((found.diff() <= 0).all())


def test_a_single_key_has_no_entropy_to_lose() -> None:
    """A floor of 0, and no division by it."""
    assert float(least_entropy(torch.tensor(0.0), torch.tensor(1))) == 0.0


def test_a_head_whose_queries_know_its_keys_stands_out_from_its_turned_self() -> None:
    """Queries equal to keys attend to themselves; turned, they attend anywhere."""
    key = 3.0 * torch.randn(1, 1, T, 16, generator=torch.Generator().manual_seed(0))
    scores = (key @ key.mT)[0, 0]
    known = _scored(scores, query=key, key=key)
    turned = _value("turned_sigma_1", known)

    assert float(_value("centred_sigma_2", known)) > 0.9
    assert 0.9 < float(turned) < 3.0


def test_random_queries_and_keys_look_like_their_turned_selves() -> None:
    """The null is true of a head that learnt nothing, at any spread and under a mask."""
    generator = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, 1, 64, T, 16, generator=generator)
    for spread in (0.05, 1.0):
        scores = spread / 4 * query @ key.mT
        masked = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf)
        head = attention(masked.softmax(-1), causal=True, scores=scores, query=query, key=key)
        ratio = _value("centred_sigma_1", head).mean() / _value("turned_sigma_1", head).mean()

        assert float(ratio) == pytest.approx(1.0, abs=0.1)


def test_grouped_queries_share_the_turned_keys() -> None:
    """Four heads on two key heads read what they read with the keys repeated."""
    generator = torch.Generator().manual_seed(2)
    query, key = torch.randn(1, 4, T, 8, generator=generator), torch.randn(1, 2, T, 8, generator=generator)
    repeated = key.repeat_interleave(2, 1)
    scores = query @ repeated.mT
    found = [
        _value("turned_sigma_1", attention(scores.softmax(-1), scores=scores, query=query, key=keys))
        for keys in (key, repeated)
    ]

    torch.testing.assert_close(*found)


def test_long_samples_have_no_spectrum_beyond_the_usual() -> None:
    """257 tokens cost too much: absent, not slow."""
    long = attention(
        torch.eye(257),
        scores=torch.zeros(1, 1, 257, 257),
        query=torch.ones(1, 1, 257, 2),
        key=torch.ones(1, 1, 257, 2),
    )

    for name in ("centred_sigma_1", "centred_sigma_2", "turned_sigma_1"):
        assert bool(_value(name, long).isnan().all())


@pytest.fixture(scope="module")
def real(bert_tiny: Path) -> list[AttentionObservation]:
    """Both layers of BERT-tiny on one sentence."""
    loaded = load_model(open_checkpoint(bert_tiny))
    ids = AutoTokenizer.from_pretrained(bert_tiny)(BRIDGE, return_tensors="pt")["input_ids"]
    batch = Batch(ids, torch.ones_like(ids).bool(), torch.zeros_like(ids).bool(), (0,), ("a",))
    kept: list[AttentionObservation] = []
    receiver = type("Kept", (), {"on_attention": kept.append, "on_residual": lambda _: None})
    observe(loaded.model, batch, receiver, layers=survey(loaded.model))  # type: ignore[arg-type]
    return kept


@pytest.mark.parametrize("name", ["freezing", "entropy_floor", "turned_sigma_1"])
def test_a_metric_equals_its_formula_on_a_real_model(name: str, real: list[AttentionObservation]) -> None:
    """In numpy, one row at a time."""
    for observation in real:
        expected = [_naive(name, observation, head) for head in range(2)]
        np.testing.assert_allclose(_value(name, observation)[0].numpy(), expected, rtol=1e-5)


def _naive(name: str, observation: AttentionObservation, head: int) -> float:
    assert observation.scores is not None
    scores = observation.scores[0, head].double().numpy()
    n = len(scores)
    if name == "freezing":
        return float(np.mean([row.std() / math.sqrt(2 * math.log(n)) for row in scores]))
    if name == "entropy_floor":
        return float(np.mean([_least(float(np.linalg.norm(row - row.mean())), n) for row in scores]))
    return _turned(observation, scores, head)


def _least(radius: float, n: int) -> float:
    """Entropy of the row with one score above all others, over log n."""
    logits = np.array([radius * math.sqrt((n - 1) / n)] + [-radius / math.sqrt(n * (n - 1))] * (n - 1))
    p = np.exp(logits - logits.max())
    p /= p.sum()
    return float(-(p * np.log(np.maximum(p, 1e-300))).sum() / math.log(n))


def _turned(observation: AttentionObservation, scores: Any, head: int) -> float:
    assert observation.query is not None
    assert observation.key is not None
    query, key = (t[0, head].double().numpy() for t in (observation.query, observation.key))
    width = query.shape[1]
    random = torch.randn(2, width, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = query @ np.linalg.qr(random[head].numpy())[0] @ key.T
    scaled = turned * scores.std(1).mean() / turned.std(1).mean()
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return float(np.linalg.norm(p - 1 / len(p), 2))
