"""Gradients are those of a plain backward pass, at no more memory than one takes."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from audit.models.coverage import survey
from audit.models.gradients import Backward
from audit.models.inputs import model_inputs
from audit.models.passes import eager
from audit.observations import PARTS, GradientObservation
from tests.architectures import Task
from tests.models.watching import batch_of, frozen

TOLERANCE = 1e-5

# by part, names of matrices within a block; (name, which third) where queries, keys and values are one product
Names = dict[str, Any]
SEPARATE: Names = {
    "query": ["q_proj"],
    "key": ["k_proj"],
    "value": ["v_proj"],
    "output": ["o_proj"],
    "mlp": ["gate_proj", "up_proj", "down_proj"],
}
FAMILIES: list[tuple[str, Task, str, Names]] = [
    ("llama", "causal", "model.layers.1", SEPARATE),
    ("gemma3_text", "causal", "model.layers.1", SEPARATE),
    ("gpt2", "causal", "transformer.h.1", {"query": ("attn.c_attn", 0), "key": ("attn.c_attn", 1), "value": ("attn.c_attn", 2), "output": ["attn.c_proj"], "mlp": ["mlp.c_fc", "mlp.c_proj"]}),
    ("bert", "masked", "bert.encoder.layer.1", {"query": ["query"], "key": ["key"], "value": ["value"], "output": ["attention.output.dense"], "mlp": ["intermediate.dense", "1.output.dense"]}),
    ("t5", "seq2seq", "encoder.block.1", {"query": ["SelfAttention.q"], "key": ["SelfAttention.k"], "value": ["SelfAttention.v"], "output": ["SelfAttention.o"], "mlp": ["wi", "wo"]}),
    ("albert", "masked", "albert.encoder.albert_layer_groups.0", {"query": ["query"], "key": ["key"], "value": ["value"], "output": ["attention.dense"], "mlp": ["ffn", "ffn_output"]}),
]  # fmt: skip


@pytest.mark.parametrize(("model_type", "task", "block", "names"), FAMILIES, ids=str)
def test_gradients_are_those_of_autograd(model_type: str, task: Task, block: str, names: Names) -> None:
    """Matrices, stream and heads of the second layer against hooks and `loss.backward()` on every parameter."""
    model = frozen(model_type, task)
    fed, loss = _asked(model, task)
    found = list(Backward(model, survey(model)).observe(fed, loss))[1]
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    naive = _naive(model, fed, loss, block)

    for at, part in enumerate(PARTS):
        gradients = _of(naive.parameters, names[part])
        _close(found.gradient_norms[0, at], sum(float(g.square().sum()) for g in gradients) ** 0.5)
    assert found.hidden is not None
    assert found.hidden_gradient is not None
    torch.testing.assert_close(found.hidden, naive.hidden)
    _near(found.hidden_gradient, naive.hidden_gradient)


@pytest.mark.parametrize(("model_type", "projection"), [("llama", "model.layers.1.self_attn.o_proj"), ("gpt2", "transformer.h.1.attn.c_proj")])  # fmt: skip
def test_gradients_of_heads_are_those_of_what_enters_the_output_projection(
    model_type: str, projection: str
) -> None:
    """Head outputs side by side are the input of W_O."""
    model = frozen(model_type, "causal")
    fed, loss = _asked(model, "causal")
    found = list(Backward(model, survey(model)).observe(fed, loss))[1]
    seen: list[Tensor] = []

    def keep(_: Any, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].retain_grad()
        seen.append(inputs[0])

    handle = model.get_submodule(projection).register_forward_pre_hook(keep)
    _plain_backward(model, fed, loss)
    handle.remove()
    assert found.head_output is not None
    assert found.head_gradient is not None
    for mine, naive in ((found.head_output, seen[0].detach()), (found.head_gradient, seen[0].grad)):
        assert naive is not None
        _near(mine.transpose(1, 2).flatten(2), naive)


def test_the_stream_is_followed_from_block_to_block() -> None:
    """What enters a block is what left the one before; nothing is known before the first."""
    model = frozen("bert", "masked")
    first, second = Backward(model, survey(model)).observe(*_asked(model, "masked"))

    assert first.entering is None
    assert first.hidden is not None
    assert second.entering is not None
    assert torch.equal(second.entering, first.hidden)
    assert second.entering_gradient is first.hidden_gradient


def test_a_pair_of_stacks_has_two_streams() -> None:
    """Encoder and decoder begin anew, and a block's cross-attention shares its block's stream."""
    model = frozen("bart", "seq2seq")
    layers = survey(model)
    found = list(Backward(model, layers).observe(*_asked(model, "seq2seq")))

    assert [seen.opens_block for seen in found] == [True, True, True, False, True, False]
    assert [seen.entering is None for seen in found] == [True, False, True, True, False, False]
    assert all(_is_full(seen) for seen in found)
    assert [bool(seen.gradient_norms[0, 4].isnan()) for seen in found] == [
        False,
        False,
        False,
        True,
        False,
        True,
    ]


def test_a_family_that_puts_time_first_is_laid_out_like_the_others() -> None:
    """[batch, token, width], whatever the model's own order."""
    model = frozen("fsmt", "seq2seq")
    for seen in Backward(model, survey(model)).observe(*_asked(model, "seq2seq")):
        assert seen.hidden is not None
        assert seen.hidden.shape[:2] == seen.tokens.shape


def test_memory_stays_near_that_of_a_plain_backward_pass() -> None:
    """Peak above the loaded model, in a process of its own each: at most 1.5 times."""
    plain, observed = (float(_child(how)) for how in ("plain", "observed"))
    assert observed <= 1.5 * plain, (observed, plain)


class _Naive:
    parameters: dict[str, Tensor]
    hidden: Tensor
    hidden_gradient: Tensor


def _naive(model: PreTrainedModel, fed: Any, loss: Callable[[Any], Tensor], block: str) -> _Naive:
    """Gradients of the parameters and the output of one block, the usual way."""
    naive, kept = _Naive(), []

    def keep(_: Any, __: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        hidden.retain_grad()
        kept.append(hidden)

    handle = model.get_submodule(block).register_forward_hook(keep)
    gradients = _plain_backward(model, fed, loss)
    handle.remove()
    naive.parameters = {name: g for name, g in gradients.items() if name.startswith(f"{block}.")}
    naive.hidden, naive.hidden_gradient = kept[-1].detach(), kept[-1].grad
    return naive


def _plain_backward(model: PreTrainedModel, fed: Any, loss: Callable[[Any], Tensor]) -> dict[str, Tensor]:
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    with torch.enable_grad(), eager(model):
        loss(model(**fed.inputs)).backward()
    gradients = {n: p.grad.double() for n, p in model.named_parameters() if p.grad is not None}
    for parameter in model.parameters():
        parameter.requires_grad_(False).grad = None
    return gradients


def _of(gradients: dict[str, Tensor], names: Any) -> list[Tensor]:
    if isinstance(names, tuple):
        (joint,) = [g for name, g in gradients.items() if name.endswith(f"{names[0]}.weight")]
        return [joint.chunk(3, dim=1)[names[1]]]
    found = [g for name, g in gradients.items() if any(name.endswith(f"{n}.weight") for n in names)]
    assert len(found) == len(names)
    return found


def _asked(model: PreTrainedModel, task: Task) -> tuple[Any, Callable[[Any], Tensor]]:
    """One row of tokens and a loss over its logits that every task can give."""
    ids = torch.randint(20, 120, (1, 13), generator=torch.Generator().manual_seed(2))
    fed = model_inputs(model, batch_of(ids, torch.ones_like(ids).bool()), every_logit=True)
    return fed, lambda output: torch.nn.functional.cross_entropy(output.logits[0].float(), ids[0])


def _close(found: Tensor, expected: float) -> None:
    assert float(found) == pytest.approx(expected, rel=TOLERANCE)


def _near(found: Tensor, expected: Tensor) -> None:
    assert float((found - expected).norm() / expected.norm()) < TOLERANCE


def _is_full(seen: GradientObservation) -> bool:
    return seen.hidden_gradient is not None and seen.head_gradient is not None


def _child(how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.backward_memory", how],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
