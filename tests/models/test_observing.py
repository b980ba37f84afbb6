"""What is observed is what the model computes, and the model is left as it was."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from audit.checkpoint.opening import open_checkpoint
from audit.errors import InternalFault, MachineFault, UnusableInput
from audit.models.attention import Edit
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.models.observing import observe
from audit.models.weights import weight_observations
from audit.observations import AttentionObservation, ResidualObservation
from tests.architectures import Task, tiny_model
from tests.models.watching import (
    Kept,
    batch_of,
    plain,
    random_batch,
    real_rows,
    result,
    watch,
    watched_once,
)

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


@pytest.mark.parametrize("checkpoint", ["minilm", "smollm2", "bert_tiny"])
def test_watching_a_real_model_changes_no_bit_of_its_output(
    checkpoint: str, request: pytest.FixtureRequest
) -> None:
    """Logits and hidden states are those of a plain eager pass, with padding on either side."""
    folder: Path = request.getfixturevalue(checkpoint)
    model = load_model(open_checkpoint(folder)).model
    batch = random_batch(model)

    layers, kept, passed = watch(model, batch)

    assert set(kept.attention) == passed.seen == {layer.index for layer in layers}
    assert torch.equal(result(plain(model, batch)), result(passed.output))


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
    assert _difference(result(expected), result(watched.passed.output)) <= 1e-6


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


def test_scores_that_are_nan_hide_no_key() -> None:
    """A pattern that is NaN is seen as NaN, never as an empty one whose masses read zero."""
    model = tiny_model("llama")
    batch = random_batch(model)
    _, whole, _ = watch(model, batch)
    with torch.no_grad():
        projection = model.get_submodule("model.layers.1.self_attn.q_proj")
        projection.weight.fill_(torch.nan)  # type: ignore[operator, union-attr]

    _, kept, _ = watch(model, batch)

    seen = kept.attention[1]
    assert bool(seen.pattern[whole.attention[1].seen.expand_as(seen.pattern)].isnan().all())
    assert bool(seen.mass.sum((-1, -2)).isnan().all())


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
        assert not bool(watched.kept.residual[layer.index].sinks.any())


def test_the_model_is_left_as_it_was() -> None:
    """Attention implementation, mode, hooks and parameters are the same afterwards."""
    model = tiny_model("llama")
    model.set_attn_implementation("sdpa")
    model.train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}

    watch(model, random_batch(model))

    assert model.config._attn_implementation == "sdpa"
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_the_model_is_left_as_it_was_when_a_receiver_fails() -> None:
    """The fault is ours, not the model's, and nothing stays behind."""
    model = tiny_model("llama")
    model.set_attn_implementation("sdpa")

    class Failing(Kept):
        def on_attention(self, observation: AttentionObservation) -> None:
            raise ValueError("no such head")

    with pytest.raises(InternalFault, match="measuring layer 0 failed: ValueError: no such head"):
        observe(model, random_batch(model), Failing(), layers=survey(model))

    assert model.config._attn_implementation == "sdpa"
    assert not nn.modules.module._global_forward_hooks


def test_memory_that_gives_out_in_a_metric_is_a_fault_of_the_machine() -> None:
    """Not one of ours, and not one of the model."""
    model = tiny_model("llama")

    class Large(Kept):
        def on_attention(self, observation: AttentionObservation) -> None:
            raise MemoryError

    with pytest.raises(MachineFault, match="memory gave out in measuring layer 0: use a smaller"):
        observe(model, random_batch(model), Large(), layers=survey(model))


def test_nothing_is_held_once_a_receiver_has_returned() -> None:
    """At most one layer's pattern is alive at a time, however many layers there are."""

    class Counting(Kept):
        alive: list[Any] = []  # noqa: RUF012 - of this test alone
        most = 0

        def on_attention(self, observation: AttentionObservation) -> None:
            self.alive.append(weakref.ref(observation.pattern))
            gc.collect()
            self.most = max(self.most, sum(reference() is not None for reference in self.alive))

        def on_residual(self, observation: ResidualObservation) -> None:
            """Not of interest."""

    counting = Counting()
    model = tiny_model("bert", "masked")
    observe(model, random_batch(model), counting, layers=survey(model))

    assert len(counting.alive) == 2
    assert counting.most == 1


def test_an_edit_that_changes_nothing_leaves_every_bit() -> None:
    """Going on with the pattern and the head outputs that were computed is going on as before."""
    model = tiny_model("llama")
    batch, layers = random_batch(model), survey(model)

    def same(seen: AttentionObservation) -> Edit:
        return Edit(pattern=seen.pattern, head_output=seen.head_output)

    edited = observe(model, batch, Kept(), layers=layers, edit=same, every_logit=True).output

    # rows of padding see no key and are set to 0 in a pattern; the real rows must not know
    real = batch.tokens.sort(descending=True)[0]
    assert torch.equal(plain(model, batch).logits[real], edited.logits[real])


def test_silencing_a_head_is_clearing_its_slice_of_the_projection() -> None:
    """Zero head output and zero W_O slice give the same logits; another head does not."""
    model = tiny_model("llama")
    batch, layers = random_batch(model), survey(model)
    (weights, *_) = weight_observations(model, layers)
    assert weights.output is not None

    def silenced(seen: AttentionObservation) -> Edit | None:
        assert seen.head_output is not None
        kept = torch.ones(seen.head_output.shape[1])
        kept[2] = 0
        return Edit(head_output=seen.head_output * kept[:, None, None]) if seen.layer == 0 else None

    edited = observe(model, batch, Kept(), layers=layers, edit=silenced, every_logit=True).output.logits
    before = plain(model, batch).logits
    with torch.no_grad():
        weights.output[2] = 0  # a view of the model's own matrix
    cleared = plain(model, batch).logits

    assert _difference(cleared, edited) <= 1e-6
    assert _difference(before, edited) > 1e-4


def test_a_pattern_can_be_replaced() -> None:
    """Uniform attention over the visible keys gives their mean value."""
    model = tiny_model("bert", "masked")
    batch = random_batch(model)

    def uniform(seen: AttentionObservation) -> Edit:
        visible = seen.visible.expand_as(seen.pattern).float()
        return Edit(pattern=visible / visible.sum(-1, keepdim=True))

    kept = Kept()
    observe(model, batch, kept, layers=survey(model), edit=uniform)

    update = kept.residual[0].attention_update
    assert update is not None
    real = kept.residual[0].tokens[0]
    assert float((update[0][real] - update[0][0]).abs().max()) <= 1e-6


def test_a_failing_model_is_named_with_the_module_that_failed() -> None:
    """One line: what, where, on how much."""
    model = tiny_model("bert", "masked")
    layers, batch = survey(model), random_batch(model, length=600)

    with pytest.raises(
        UnusableInput, match=r"BertForMaskedLM failed in 'bert.embeddings.*2 rows of 600 tokens"
    ):
        observe(model, batch, Kept(), layers=layers)


def test_another_attention_than_surveyed_is_refused() -> None:
    """Big bird attends to short texts in full and to long ones in blocks."""
    model: PreTrainedModel = tiny_model("big_bird", "masked")
    model.bert.set_attention_type("original_full")
    layers = survey(model)
    model.bert.set_attention_type("block_sparse")

    with pytest.raises(UnusableInput, match="attends in another way on 13 tokens"):
        observe(model, random_batch(model), Kept(), layers=layers)


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
