"""Observations made by hand: patterns with known answers, random ones, and the same ones with padding around them."""

from dataclasses import fields, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from audit.observations import PARTS, AttentionObservation, GradientObservation, ResidualObservation
from audit.patterns import Recomputed, Stored

NAN = float("nan")


def attention(
    pattern: Tensor,
    *,
    causal: bool = False,
    kind: Literal["self", "cross"] = "self",
    scores: Tensor | None = None,
    **more: Tensor,
) -> AttentionObservation:
    """An observation of `pattern` [query, key] or [batch, head, query, key] without padding."""
    pattern = pattern[None, None] if pattern.ndim == 2 else pattern
    batch, _, queries, keys = pattern.shape
    visible = torch.ones(batch, 1, queries, keys, dtype=torch.bool)
    return AttentionObservation(
        layer=0,
        kind=kind,
        source=Stored(pattern, visible.tril() if causal else visible, scores),
        queries=torch.ones(batch, queries, dtype=torch.bool),
        keys=torch.ones(batch, keys, dtype=torch.bool),
        special=torch.zeros(batch, keys, dtype=torch.bool),
        **more,
    )


def random_attention(seed: int, *, causal: bool = False, cross: bool = False) -> AttentionObservation:
    """Three samples of four heads over 20 tokens: one head diffuse, one sharp, one with a sink, one static."""
    generator = torch.Generator().manual_seed(seed)
    keys = 13 if cross else 20
    scores = torch.randn(3, 4, 20, keys, generator=generator)
    scores[:, 1] *= 6.0
    scores[:, 2, :, 0] += 5.0
    scores[:, 3] = scores[:1, 3, :1]
    if causal:
        scores = scores.masked_fill(torch.ones(20, keys, dtype=torch.bool).triu(1), -torch.inf)
    value = torch.randn(3, 2, keys, 5, generator=generator)
    pattern = scores.softmax(-1)
    return attention(
        pattern,
        causal=causal,
        kind="cross" if cross else "self",
        scores=scores,
        value=value,
        head_output=pattern @ value.repeat_interleave(2, 1),
    )


def padded_attention(observation: AttentionObservation, left: int, right: int) -> AttentionObservation:
    """The same samples with padding around them, and NaN in every row that no metric may read."""
    assert observation.head_output is not None
    both = (left, right, left, right)
    queries = pad(observation.queries, (left, right))
    keys = pad(observation.keys, (left, right))
    pattern = torch.where(queries[:, None, :, None], pad(observation.pattern, both), NAN)
    visible = pad(observation.visible, both) | ~queries[:, None, :, None]
    scores = None if observation.scores is None else pad(observation.scores, both, value=NAN)
    output = pad(observation.head_output, (0, 0, left, right))
    more: dict[str, Any] = {}
    if observation.value is not None:
        more["value"] = pad(observation.value, (0, 0, left, right), value=NAN)
    return replace(
        observation,
        source=Stored(pattern, visible, scores),
        queries=queries,
        keys=keys,
        special=pad(observation.special, (left, right), value=True),
        head_output=torch.where(queries[:, None, :, None], output, NAN),
        **more,
    )


def samples(observation: Any, which: slice) -> Any:
    """Some samples of a batch: an observation, or what a pattern is had from."""
    cut: dict[str, Any] = {}
    for field in fields(observation):
        value = getattr(observation, field.name)
        if isinstance(value, Tensor):
            cut[field.name] = value[which]
        elif isinstance(value, Stored | Recomputed):
            cut[field.name] = samples(value, which)
    return replace(observation, **cut)


def residual(after: Tensor, **more: Tensor | bool | None) -> ResidualObservation:
    """An observation of tokens [batch, token, width] that a block left as they were, without padding or sinks."""
    tokens = torch.ones(after.shape[:2], dtype=torch.bool)
    named: dict[str, Any] = {
        "layer": 0,
        "opens_block": True,
        "tokens": tokens,
        "sinks": torch.zeros_like(tokens),
        "before": after,
        "between": None,
        "after": after,
        "attention_update": None,
        "mlp_update": None,
    }
    return ResidualObservation(**(named | more))


def random_residual(seed: int) -> ResidualObservation:
    """Three samples of 20 tokens, 12 wide, that share a common vector; the third token is a sink."""
    generator = torch.Generator().manual_seed(seed)
    before, attention_update, mlp_update = torch.randn(3, 3, 20, 12, generator=generator)
    before = before + 2.0 * torch.randn(3, 1, 12, generator=generator)
    sinks = torch.zeros(3, 20, dtype=torch.bool)
    sinks[:, 2] = True
    return residual(
        before + attention_update + mlp_update,
        sinks=sinks,
        before=before,
        between=before + attention_update,
        attention_update=attention_update,
        mlp_update=mlp_update,
    )


def padded_residual(observation: ResidualObservation, left: int, right: int) -> ResidualObservation:
    """The same samples with padding around them, and NaN in every token that no metric may read."""
    wide = (0, 0, left, right)
    streams: dict[str, Any] = {
        name: pad(getattr(observation, name), wide, value=NAN)
        for name in ("before", "between", "after", "attention_update", "mlp_update")
    }
    return replace(
        observation,
        tokens=pad(observation.tokens, (left, right)),
        sinks=pad(observation.sinks, (left, right)),
        **streams,
    )


def gradient(**more: Tensor | bool | None) -> GradientObservation:
    """An observation of one sample of three tokens, of which nothing was seen but what is given."""
    named: dict[str, Any] = dict.fromkeys(
        ("hidden", "hidden_gradient", "entering", "entering_gradient", "head_output", "head_gradient")
    )
    named |= {
        "layer": 0,
        "opens_block": True,
        "tokens": torch.ones(1, 3, dtype=torch.bool),
        "gradient_norms": torch.full((1, len(PARTS)), NAN, dtype=torch.float64),
        "weight_norms": torch.full((1, len(PARTS)), NAN, dtype=torch.float64),
    }
    return GradientObservation(**(named | more))


def random_gradient(seed: int) -> GradientObservation:
    """Three samples of 20 tokens, 12 wide, and four heads of 5."""
    generator = torch.Generator().manual_seed(seed)
    hidden, hidden_gradient, entering, entering_gradient = torch.randn(4, 3, 20, 12, generator=generator)
    head_output, head_gradient = torch.randn(2, 3, 4, 20, 5, generator=generator)
    return gradient(
        tokens=torch.ones(3, 20, dtype=torch.bool),
        hidden=hidden,
        hidden_gradient=hidden_gradient,
        entering=entering,
        entering_gradient=entering_gradient,
        head_output=head_output,
        head_gradient=head_gradient,
        gradient_norms=torch.rand(3, len(PARTS), generator=generator, dtype=torch.float64),
        weight_norms=torch.rand(3, len(PARTS), generator=generator, dtype=torch.float64),
    )


def padded_gradient(observation: GradientObservation, left: int, right: int) -> GradientObservation:
    """The same samples with padding around them, and NaN in every token that no metric may read."""
    wide = (0, 0, left, right)
    streams: dict[str, Any] = {
        field.name: pad(value, wide, value=NAN)
        for field in fields(observation)
        if isinstance(value := getattr(observation, field.name), Tensor) and value.dim() >= 3
    }
    return replace(observation, tokens=pad(observation.tokens, (left, right)), **streams)
