"""Each replacement does to the model what it says: checked against the same done to the weights."""

import copy

import pytest
import torch
from torch import nn

from audit.interventions.ablation import Ablation, impossible
from audit.models.attention import Edit
from audit.models.observing import observe
from audit.observations import AttentionObservation
from tests.architectures import Task
from tests.interventions.subjects import Subjects, changed, projections, tiny

CLOSE = 2e-6


def test_silencing_a_head_equals_zeroing_its_part_of_the_output_projection() -> None:
    """Zero replaces the head's output only; its neighbours stay."""
    subject = tiny("llama", "causal")
    heads, weight = subject.layers[1].heads, subject.model.model.layers[1].self_attn.o_proj.weight
    found = subject.logits((Ablation(target="head", layer=1, heads=(2,), replacement="zero"),))
    with changed(weight):
        weight.unflatten(1, (heads, -1))[:, 2] = 0.0
        expected = subject.logits()
    assert torch.allclose(found, expected, atol=CLOSE)
    assert not torch.allclose(found, subject.logits(), atol=1e-4)


def test_holding_heads_at_a_constant_gives_that_constant_to_every_position() -> None:
    """The mean replaces pattern and text: seen as an edit of the observed outputs."""
    subject = tiny("gpt2", "causal")
    heads = subject.layers[0].heads
    mean = torch.randn(heads, 64 // heads, generator=torch.Generator().manual_seed(0)).double()
    cut = (Ablation(target="head", layer=0, heads=(0, 3), replacement="mean"),)

    def edit(seen: AttentionObservation) -> Edit | None:
        if seen.layer != 0 or seen.head_output is None:
            return None
        outputs = seen.head_output.clone()
        outputs[:, [0, 3]] = mean[[0, 3], None].float()
        return Edit(head_output=outputs)

    assert torch.equal(subject.logits(cut, means={0: mean}), _edited(subject, edit))


@pytest.mark.parametrize(("model_type", "task"), [("llama", "causal"), ("bert", "masked"), ("t5", "seq2seq")])
def test_the_uniform_pattern_looks_at_every_visible_key_alike(model_type: str, task: Task) -> None:
    """Equal weights on the keys the mask leaves, in every layer and stack, cross-attention included."""
    subject = tiny(model_type, task)
    for layer in subject.layers:

        def edit(seen: AttentionObservation, at: int = layer.index) -> Edit | None:
            share = seen.visible.double() / seen.visible.sum(-1, keepdim=True).clamp_min(1)
            return Edit(pattern=share.expand_as(seen.pattern)) if seen.layer == at else None

        found = subject.logits((Ablation(target="attention", layer=layer.index, replacement="uniform"),))
        assert torch.allclose(found, _edited(subject, edit), atol=CLOSE)


def test_the_centred_pattern_is_what_a_planted_even_layer_has_beyond_its_outlier() -> None:
    """Of a layer that looks at all keys alike nothing is left; of any other, the singular value of 1 goes."""
    subject = tiny("bert", "masked")
    query = subject.model.bert.encoder.layer[1].attention.self.query
    centred = (Ablation(target="attention", layer=1, replacement="centred"),)
    with changed(query.weight, query.bias):
        query.weight.zero_()
        query.bias.zero_()
        silent = subject.logits((Ablation(target="attention", layer=1, replacement="zero"),))
        assert torch.allclose(subject.logits(centred), silent, atol=CLOSE)
    largest = []

    def edit(seen: AttentionObservation) -> Edit | None:
        if seen.layer != 1:
            return None
        even = seen.visible.double() / seen.visible.sum(-1, keepdim=True).clamp_min(1)
        beyond = seen.pattern - even
        largest.extend(torch.linalg.matrix_norm(p[-1, 0].double(), 2) for p in (seen.pattern, beyond))
        return Edit(pattern=beyond)

    assert torch.allclose(subject.logits(centred), _edited(subject, edit), atol=CLOSE)
    assert largest[0] > 0.99
    assert largest[1] < 0.5


def test_the_identity_pattern_gives_each_position_its_own_value() -> None:
    """Attention becomes a matrix applied to each token: W_O W_V x."""
    subject = tiny("gpt2", "causal")
    attention = subject.model.transformer.h[1].attn
    found = subject.logits((Ablation(target="attention", layer=1, replacement="identity"),))
    hidden = {}
    hook = attention.register_forward_hook(
        lambda module, args, kwargs, out: hidden.update(x=args[0]), with_kwargs=True
    )
    subject.logits()
    hook.remove()
    value = attention.c_attn(hidden["x"]).chunk(3, dim=-1)[2]
    hook = attention.register_forward_hook(lambda *_: (attention.c_proj(value), None))
    with torch.no_grad():
        expected = subject.read(subject.model(**subject.fed.inputs))
    hook.remove()
    assert torch.allclose(found, expected, atol=CLOSE)


@pytest.mark.parametrize(
    ("model_type", "task", "ending"),
    [
        ("llama", "causal", "self_attn.o_proj"),
        ("gemma2", "causal", "self_attn.o_proj"),
        ("gptj", "causal", "attn.out_proj"),
        ("falcon", "causal", "self_attention.dense"),
        ("gpt_neox", "causal", "attention.dense"),
        ("gpt2", "causal", "attn.c_proj"),
        ("bert", "masked", "attention.output.dense"),
        ("t5", "seq2seq", "Attention.o"),
    ],
)
def test_skipping_attention_equals_an_output_projection_of_zeros(
    model_type: str, task: Task, ending: str
) -> None:
    """Nothing is added, no bias either; in parallel blocks the MLP's share stays, and post-norm still norms."""
    subject = tiny(model_type, task)
    modules = projections(subject.model, ending)
    assert len(modules) == len(subject.layers)
    for layer, module in zip(subject.layers, modules, strict=True):
        found = subject.logits((Ablation(target="attention", layer=layer.index, replacement="skip"),))
        with changed(*module.parameters()):
            for parameter in module.parameters():
                parameter.zero_()
            expected = subject.logits()
        assert torch.allclose(found, expected, atol=CLOSE)


@pytest.mark.parametrize(
    ("model_type", "task", "blocks"),
    [
        ("llama", "causal", "model.layers"),
        ("bert", "masked", "bert.encoder.layer"),
        ("gpt2", "causal", "transformer.h"),
    ],
)
def test_skipping_a_block_equals_a_model_without_it(model_type: str, task: Task, blocks: str) -> None:
    """The block returns what it was given."""
    subject = tiny(model_type, task)
    parent, _, name = blocks.rpartition(".")
    for layer in subject.layers:
        smaller = copy.deepcopy(subject.model)
        kept = [block for at, block in enumerate(smaller.get_submodule(blocks)) if at != layer.index]
        setattr(smaller.get_submodule(parent), name, nn.ModuleList(kept))
        smaller.config.num_hidden_layers = len(kept)
        with torch.no_grad():
            expected = subject.read(smaller(**subject.fed.inputs))
        found = subject.logits((Ablation(target="block", layer=layer.index, replacement="skip"),))
        assert torch.allclose(found, expected, atol=CLOSE)


def test_several_parts_are_taken_out_together() -> None:
    """A cut of two heads in one layer and a block elsewhere is all of it at once."""
    subject = tiny("llama", "causal")
    block = Ablation(target="block", layer=1, replacement="skip")
    one, two, both = (
        Ablation(target="head", layer=0, heads=h, replacement="zero") for h in ((0,), (2,), (0, 2))
    )
    assert torch.equal(subject.logits((one, two, block)), subject.logits((both, block)))
    assert not torch.equal(subject.logits((one, block)), subject.logits((both, block)))


def test_what_cannot_be_taken_out_says_why() -> None:
    """Cross-attention has no own key; an unobserved layer has no heads to replace, but its block can go."""
    layers = tiny("t5", "seq2seq").layers
    cross = next(layer for layer in layers if layer.kind == "cross")
    reason = impossible(Ablation(target="attention", layer=cross.index, replacement="identity"), layers)
    assert reason is not None
    assert "no own key" in reason
    hybrid = tiny("qwen3_next", "causal").layers
    linear = next(layer for layer in hybrid if layer.reason is not None)
    reason = impossible(Ablation(target="attention", layer=linear.index, replacement="skip"), hybrid)
    assert reason is not None
    assert "linear" in reason.lower() or "DeltaNet" in reason
    assert impossible(Ablation(target="block", layer=linear.index, replacement="skip"), hybrid) is None


def _edited(subject: Subjects, edit: object) -> torch.Tensor:
    class Nobody:
        def on_attention(self, _: object) -> None: ...
        def on_residual(self, _: object) -> None: ...

    passed = observe(
        subject.model,
        subject.batch,
        Nobody(),
        layers=subject.layers,
        edit=edit,
        every_logit=True,  # type: ignore[arg-type]
    )
    return subject.read(passed.output)
