"""What is labelled from outside is found as if it had been watched."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from audit.errors import UnusableInput
from audit.models import passes
from audit.models.inputs import model_inputs
from audit.models.passes import Watcher, run
from audit.models.tracing import Attention, Tracer
from audit.models.unwatched import unwatched
from tests.architectures import tiny_model
from tests.models.watching import Kept, Watched, random_batch

FAMILIES = (
    "llama",
    "bert",
    "gpt2",
    "gptj",
    "gpt_neox",
    "falcon",
    "bloom",
    "gemma3",
    "olmo2",
    "opt",
    "t5",
    "bart",
)
RESIDUAL = ("before", "between", "after", "attention_update", "mlp_update")


def seen(family: str) -> Kept:
    return Watched(family).kept


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The operators that tracers see."""
    found: list[Any] = []
    dispatch = Tracer.__torch_dispatch__

    def count(self: Tracer, func: Any, *rest: Any, **kwargs: Any) -> Any:
        found.append(func)
        return dispatch(self, func, *rest, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Tracer, "__torch_dispatch__", count)
        yield found


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_lost_in_any_family(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit."""
    quick = seen(family)
    monkeypatch.setattr(passes, "unwatched", lambda *_: nullcontext())
    whole = seen(family)

    assert quick.attention.keys() == whole.attention.keys()
    assert quick.residual.keys() == whole.residual.keys()
    assert whole.attention
    assert whole.residual
    for layer, found in whole.attention.items():
        for one, other in (
            (found.pattern, quick.attention[layer].pattern),
            *_pairs(found, quick.attention[layer]),
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    for layer, around in whole.residual.items():
        for name in RESIDUAL:
            one, other = getattr(around, name), getattr(quick.residual[layer], name)
            assert (one is None) == (other is None), name
            assert one is None or torch.equal(one, other), name


def _pairs(one: Any, other: Any) -> list[tuple[Tensor, Tensor]]:
    return [(getattr(one, name), getattr(other, name)) for name in ("query", "key", "value", "head_output")]


def test_most_operators_go_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is what it is for."""
    model = tiny_model("llama")
    fed = model_inputs(model, random_batch(model))
    with counted(monkeypatch) as few:
        run(model, fed, Watcher(), way="fused")
    monkeypatch.setattr(passes, "unwatched", lambda *_: nullcontext())
    with counted(monkeypatch) as all_:
        run(model, fed, Watcher(), way="fused")

    assert len(few) < 0.8 * len(all_)


class Attend(nn.Module):
    """An attention without parts, which one tensor goes through."""

    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.mT).softmax(-1) @ x


class Double(nn.Module):
    """Nothing to find."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Stack(nn.Module):
    """Both, several times."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 8)
        self.parts = nn.Sequential(Double(), Attend(), Double(), Attend())

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.parts(self.project(x))
        return projected


def tracer_of(attended: Callable[[Attention], Tensor]) -> Tracer:
    return Tracer(
        on_attention=attended,
        on_projection=lambda *_: None,
        on_softmax=lambda _: None,
        on_addition=lambda _: None,
    )


def test_a_kind_of_module_that_attends_is_watched_every_time() -> None:
    """However small it is."""
    model, found = Stack(), list[Attention]()

    def attended(one: Attention) -> Tensor:
        found.append(one)
        return one.output

    tracer = tracer_of(attended)
    with torch.no_grad(), unwatched(model, tracer), tracer:
        model(torch.randn(2, 5, 8))

    assert len(found) == 2


def test_what_runs_while_nobody_watches_is_not_taken_for_empty() -> None:
    """As when a receiver runs a module itself: it would be left out of sight for good."""
    model, found = Stack(), list[Attention]()

    def attended(one: Attention) -> Tensor:
        found.append(one)
        return one.output

    tracer, given = tracer_of(attended), torch.randn(2, 5, 8)
    with torch.no_grad(), unwatched(model, tracer):
        model(given)
        with tracer:
            model(given)

    assert len(found) == 2


@pytest.mark.parametrize("part", ["lm_head", "model.layers.1.input_layernorm"])
def test_a_failure_out_of_sight_leaves_nobody_watching(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told like any other."""
    model = tiny_model("llama")

    def fail(*_: Any) -> None:
        raise ValueError("wrong")

    monkeypatch.setattr(model.get_submodule(part), "forward", fail)
    with pytest.raises(UnusableInput, match=f"failed in '{part}'.*ValueError: wrong"):
        run(model, model_inputs(model, random_batch(model)), Watcher(), way="fused")

    assert _get_current_dispatch_mode() is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
