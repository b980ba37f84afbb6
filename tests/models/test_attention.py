"""What is observed of an attention layer is what the family computes there."""

import pytest
import torch
from torch import Tensor

from audit.observations import AttentionObservation
from tests.architectures import Task
from tests.models.watching import batch_of, plain, real_rows, result, watch, watched_once

TYPES: list[tuple[str, Task]] = [
    ("albert", "masked"),
    ("bart", "seq2seq"),
    ("bert", "masked"),
    ("bloom", "causal"),
    ("deberta-v2", "masked"),
    ("deepseek_v3", "causal"),
    ("falcon", "causal"),
    ("gemma2", "causal"),
    ("gpt2", "causal"),
    ("gpt_oss", "causal"),
    ("gptj", "causal"),
    ("mistral", "causal"),
    ("mpt", "causal"),
    ("qwen3_next", "causal"),
    ("roberta", "masked"),
    ("t5", "seq2seq"),
    ("xlnet", "causal"),
]


@pytest.mark.parametrize(("model_type", "task"), TYPES)
def test_patterns_are_those_that_the_family_itself_returns(model_type: str, task: Task) -> None:
    """Observed patterns equal `output_attentions`, and the logits those of a plain eager pass."""
    watched = watched_once(model_type, task)
    expected = plain(watched.model, watched.batch, output_attentions=True)
    names = ("encoder_attentions", "decoder_attentions", "cross_attentions", "attentions")
    patterns = [pattern for name in names for pattern in expected.get(name) or () if pattern is not None]

    assert len(watched.attention) == len(patterns)
    for observation in watched.attention:
        differences = [_largest(pattern, observation) for pattern in patterns]
        assert min(differences) <= 1e-6
    assert _difference(result(expected), result(watched.passed.output)) <= 3e-6


@pytest.mark.parametrize(("model_type", "task"), TYPES)
def test_head_outputs_are_patterns_times_values(model_type: str, task: Task) -> None:
    """Grouped values are given once per group, and the pattern weights them to the head outputs."""
    watched = watched_once(model_type, task)
    layers = {layer.index: layer for layer in watched.layers}

    for seen in watched.attention:
        assert seen.value is not None
        assert seen.key is not None
        assert seen.head_output is not None
        layer = layers[seen.layer]
        assert seen.value.shape[1] == seen.key.shape[1] == layer.kv_heads
        values = seen.value.repeat_interleave(layer.heads // layer.kv_heads, dim=1)
        difference = real_rows(seen.pattern @ values - seen.head_output, seen)
        assert float(difference.abs().max()) <= 1e-6


@pytest.mark.parametrize(("model_type", "task"), TYPES)
def test_the_pattern_is_the_softmax_of_the_scores(model_type: str, task: Task) -> None:
    """Where a row has no sink beside the keys it sums to 1, and always it is proportional to exp(scores)."""
    for seen in watched_once(model_type, task).attention:
        assert seen.scores is not None
        scores = seen.scores.masked_fill(~seen.visible, -torch.inf).softmax(-1)
        total = seen.pattern.sum(-1, keepdim=True)
        assert float(real_rows(scores * total - seen.pattern, seen).abs().max()) <= 1e-5
        if model_type != "gpt_oss":
            assert float(real_rows(total - 1, seen).abs().max()) <= 1e-5


@pytest.mark.parametrize(("model_type", "task"), TYPES)
def test_padding_changes_nothing_on_the_real_tokens(model_type: str, task: Task) -> None:
    """The second row, padded on the left, attends like the same text without padding; no padded key is visible."""
    watched = watched_once(model_type, task)
    text = watched.batch.input_ids[1:, 2:]
    alone = watch(watched.model, batch_of(text, torch.ones_like(text, dtype=torch.bool)))[1]

    for index, seen in watched.kept.attention.items():
        assert not bool((seen.visible & seen.queries[:, None, :, None] & ~seen.keys[:, None, None, :]).any())
        size = text.shape[1]
        padded = seen.pattern[1:, :, :size, :size]
        assert _difference(padded, alone.attention[index].pattern) <= 1e-5


def test_sliding_windows_show_in_what_is_visible() -> None:
    """Mistral: a query sees itself and the seven tokens before it, and only those."""
    watched = watched_once("mistral", "causal")
    window = watched.model.config.sliding_window
    position = torch.arange(13)
    distance = position[:, None] - position

    for seen in watched.attention:
        assert seen.causal
        real = seen.visible[0, 0, :10, :10]
        assert torch.equal(((distance >= 0) & (distance < window))[:10, :10], real)


def test_learned_sinks_leave_rows_that_sum_to_less_than_one() -> None:
    """gpt_oss: the sink column is in the softmax, and not in the pattern."""
    for seen in watched_once("gpt_oss", "causal").attention:
        assert seen.pattern.shape[-2:] == (13, 13)
        totals = seen.pattern.sum(-1)[seen.queries[:, None].expand(-1, seen.pattern.shape[1], -1)]
        assert bool((totals < 0.999).all())
        assert bool((totals > 0).all())


def test_a_row_that_sees_no_key_has_no_pattern() -> None:
    """A softmax over nothing but masked scores is uniform; blt has patches of padding alone."""
    blind = 0
    for seen in watched_once("blt", "causal").attention:
        rows = ~seen.visible.any(-1)
        blind += int(rows.sum())
        assert not bool(seen.pattern[rows].any())
    assert blind > 0


def test_soft_caps_are_in_the_scores() -> None:
    """gemma2: scores are cap * tanh(scale * q.k / cap)."""
    watched = watched_once("gemma2", "causal")
    cap, scale = (
        watched.model.config.attn_logit_softcapping,
        watched.model.config.query_pre_attn_scalar**-0.5,
    )

    for seen in watched.attention:
        products = _products(seen) * scale
        expected = cap * (products / cap).tanh()
        assert _difference(_visible(expected, seen), _visible(seen.scores, seen)) <= 1e-5


def test_biases_are_in_the_scores() -> None:
    """bloom: what is left of the scores without q.k is ALiBi, linear in the position of the key."""
    for seen in watched_once("bloom", "causal").attention:
        assert seen.query is not None
        assert seen.scores is not None
        bias = (seen.scores - _products(seen) * seen.query.shape[-1] ** -0.5)[0, :, 9, :10]
        steps = bias.diff(dim=-1)
        assert float(steps.min()) > 0
        assert float((steps - steps[:, :1]).abs().max()) <= 1e-4


@pytest.mark.parametrize("model_type", ["bart", "t5"])
def test_cross_attention_is_told_from_self_attention(model_type: str) -> None:
    """Queries of the decoder, keys of the encoder, whatever their lengths."""
    watched = watched_once(model_type, "seq2seq")
    cross = [layer for layer in watched.layers if layer.kind == "cross"]

    own = watched.kept.attention[cross[0].index - 1]
    assert own.kind == "self"
    assert own.special[:, 0].all()  # the id that starts a decoder
    assert len(cross) == 2
    assert {layer.stack for layer in cross} == {"decoder"}
    assert [layer.block for layer in cross] == [0, 1]
    for layer in cross:
        seen = watched.kept.attention[layer.index]
        assert seen.kind == "cross"
        assert not seen.causal
        assert not bool(seen.special.any())
        assert not watched.kept.residual[layer.index].opens_block
        before, after = (watched.kept.residual[layer.index - back].sinks for back in (1, 0))
        assert torch.equal(before, after)  # keys of the encoder are no tokens of the decoder's stream


def _products(seen: AttentionObservation) -> Tensor:
    assert seen.query is not None
    assert seen.key is not None
    groups = seen.query.shape[1] // seen.key.shape[1]
    return seen.query @ seen.key.repeat_interleave(groups, dim=1).mT


def _visible(values: Tensor | None, seen: AttentionObservation) -> Tensor:
    assert values is not None
    return torch.where(seen.seen, values, 0.0)


def _largest(pattern: Tensor, seen: AttentionObservation) -> float:
    """Largest difference on real rows; infinite where the shapes are others."""
    if pattern.shape != seen.pattern.shape:
        return float("inf")
    return float(real_rows(pattern - seen.pattern, seen).abs().max())


def _difference(expected: Tensor, actual: Tensor) -> float:
    return float((expected - actual).abs().max())
