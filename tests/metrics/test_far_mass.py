"""Far attention in patterns whose share can be written down."""

import pytest
import torch

from audit.metrics.far_mass import FAR, far_mass
from audit.observations import AttentionObservation
from audit.patterns import Stored

T = 128


def observation(pattern: torch.Tensor) -> AttentionObservation:
    """One head of one sample of T tokens under a causal mask."""
    real = torch.ones(1, T, dtype=torch.bool)
    return AttentionObservation(
        layer=0,
        kind="self",
        source=Stored(pattern[None, None], torch.ones(T, T, dtype=torch.bool).tril()[None, None]),
        queries=real,
        keys=real,
        special=~real,
    )


def even() -> torch.Tensor:
    return torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]


def test_even_attention_reads_what_lies_beyond():
    """Of n keys, n - 33 stand more than 32 tokens back; rows with 64 keys and more count."""
    expected = sum((n - FAR - 1) / n for n in range(64, T + 1)) / (T - 63)
    assert float(far_mass(observation(even()))) == pytest.approx(expected)


def test_a_sink_is_not_far_attention():
    """Nine tenths on the first token, the rest on the token itself: nothing reaches far."""
    pattern = 0.1 * torch.eye(T)
    pattern[:, 0] += 0.9
    assert float(far_mass(observation(pattern))) == 0.0


def test_a_head_that_looks_far_back_is_seen():
    """Forty tokens back, each row elsewhere."""
    pattern = torch.zeros(T, T)
    pattern[torch.arange(T), (torch.arange(T) - 40).clamp_min(0)] = 1.0
    assert float(far_mass(observation(pattern))) == pytest.approx(1.0)


def test_short_texts_have_no_far_attention():
    """No row sees 64 keys."""
    short = observation(even())
    cut = AttentionObservation(
        layer=0,
        kind="self",
        source=Stored(short.pattern[..., :40, :40], short.visible[..., :40, :40]),
        queries=short.queries[:, :40],
        keys=short.keys[:, :40],
        special=short.special[:, :40],
    )
    assert bool(far_mass(cut).isnan().all())
