"""Watching a model changes nothing, holds nothing, and can be told to change something."""

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
from audit.models.linear import ByOneDnn
from audit.models.loading import load_model
from audit.models.observing import observe
from audit.models.weights import weight_observations
from audit.observations import AttentionObservation, ResidualObservation
from tests.architectures import tiny_model
from tests.models.watching import Kept, plain, random_batch, result, watch


@pytest.mark.parametrize("checkpoint", ["minilm", "smollm2", "bert_tiny"])
def test_watching_a_real_model_changes_no_bit_of_its_output(
    checkpoint: str, request: pytest.FixtureRequest
) -> None:
    """Logits and hidden states are those of a pass that nobody watches, with padding on either side."""
    folder: Path = request.getfixturevalue(checkpoint)
    model = load_model(open_checkpoint(folder)).model
    batch = random_batch(model)

    layers, kept, passed = watch(model, batch)

    assert set(kept.attention) == passed.seen == {layer.index for layer in layers}
    assert {layer.path for layer in layers} == {"fused"}
    with ByOneDnn():
        unwatched = plain(model, batch, implementation="sdpa")
    assert torch.equal(result(unwatched), result(passed.output))
    torch.testing.assert_close(
        result(plain(model, batch, implementation="sdpa")), result(passed.output), rtol=1e-3, atol=1e-4
    )


def test_a_sink_stays_one_where_later_layers_no_longer_rest_on_it(minilm: Path) -> None:
    """What made it one stays in the stream: the last layer, blinded, attends evenly and has no sink of its own."""
    model = load_model(open_checkpoint(minilm)).model
    blinded = model.encoder.layer[-1].attention.self.query
    nn.init.zeros_(blinded.weight)
    nn.init.zeros_(blinded.bias)

    _, kept, _ = watch(model, random_batch(model, length=32))

    last = max(kept.residual)
    before = kept.residual[last - 1].sinks
    assert before.any(1).all()
    assert not kept.attention[last].sinks.any()
    assert torch.equal(kept.residual[last].sinks, before)


def test_scores_that_are_nan_hide_no_key() -> None:
    """A pattern that is NaN is seen as NaN, never as an empty one whose masses read zero."""
    model = tiny_model("llama")
    batch = random_batch(model)
    _, whole, _ = watch(model, batch)
    with torch.no_grad():
        projection = model.get_submodule("model.layers.1.self_attn.q_proj")
        projection.weight.fill_(torch.nan)

    _, kept, _ = watch(model, batch)

    seen = kept.attention[1]
    assert bool(seen.pattern[whole.attention[1].seen.expand_as(seen.pattern)].isnan().all())
    assert bool(seen.mass.sum((-1, -2)).isnan().all())


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


def _difference(expected: Tensor, actual: Tensor) -> float:
    return float((expected - actual).abs().max())
