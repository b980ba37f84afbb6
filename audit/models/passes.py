"""Runs a model once under watch and with eager attention, and leaves it as it was."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from audit.errors import MachineFault, UnusableInput
from audit.models.inputs import Fed, configurations
from audit.models.location import Location
from audit.models.tiles import NAME, Tiles, known, tiling
from audit.models.tracing import Addition, Attention, Tracer

Way = Literal["fused", "tiles", "eager"]

# what code can raise, and not what stops a program from outside
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
LESS = "use a smaller --batch-size or --max-length"
IMPLEMENTATIONS: dict[Way, str] = {"fused": "sdpa", "tiles": NAME, "eager": "eager"}
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class Watcher:
    """What may be learnt from a pass; a subclass takes what it needs."""

    def entered(self, block: str) -> None:
        """A block begins."""

    def attended(self, found: Attention, _name: str) -> Tensor:
        """The module of that name computed an attention; returns the output to go on with."""
        return found.output

    def projected(self, number: int, operand: Tensor, module: nn.Module) -> None:
        """`module` multiplies what descends from the head outputs of attention `number` with something."""

    def softmaxed(self, result: Tensor, name: str) -> None:
        """The module `name` computed a softmax, be it attention or not."""

    def added(self, _addition: Addition) -> Tensor | None:
        """An update was added to the residual stream; returns the stream to go on with, or None to leave it."""
        return None

    def left(self, block: str, output: Any, additions: Sequence[Addition]) -> None:
        """A block ends, having made these additions to the residual stream."""


def run(
    model: PreTrainedModel,
    fed: Fed,
    watcher: Watcher,
    *,
    differentiable: bool = False,
    way: Way = "eager",
    rows: int | None = None,
) -> Any:
    """The output of `model` for `fed`, on autograd's graph where `differentiable`.

    Families that offer a choice run their own eager code, and where one calls scaled dot product attention all the
    same, it is taken apart into its products; "tiles" runs it by so many `rows`, or as many as a tile holds.
    "fused": those that can leave it to one kernel.

    Raises:
        UnusableInput: the model fails on these inputs.
        MachineFault: the machine has too little memory for them.
    """
    location, tracer = _watched(model, watcher)
    with (
        torch.set_grad_enabled(differentiable),
        tiling(Tiles(tracer, rows)) if way == "tiles" else nullcontext(),
        computing(model, way),
        location.followed(),
        tracer,
    ):
        try:
            return model(**fed.inputs)
        except FAULTS as error:
            rows, tokens = fed.encoder.tokens.shape
            where = f"{location.name or 'its forward'!r} on {rows} rows of {tokens} tokens"
            if is_of_memory(error):
                raise MachineFault(f"memory gave out in {where}: {LESS}") from error
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise UnusableInput(f"{type(model).__name__} failed in {where}: {reason}") from error


def is_of_memory(error: Exception) -> bool:
    """Whether the machine had too little memory; PyTorch's allocators have no common class for that."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def _watched(model: PreTrainedModel, watcher: Watcher) -> tuple[Location, Tracer]:
    def enter(block: str) -> None:
        tracer.next_block()
        watcher.entered(block)

    def leave(block: str, output: Any) -> None:
        watcher.left(block, output, tracer.additions)
        tracer.next_block()

    location = Location(model, on_enter=enter, on_exit=leave)
    tracer = Tracer(
        on_attention=lambda found: watcher.attended(found, location.name),
        on_projection=lambda number, operand: watcher.projected(number, operand, location.module),
        on_softmax=lambda result: watcher.softmaxed(result, location.name),
        on_addition=watcher.added,
    )
    return location, tracer


@contextmanager
def computing(model: PreTrainedModel, way: Way) -> Iterator[None]:
    """That way of attention in every part of `model` for as long as it lasts."""
    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH] if way == "fused" else SDPBackend.MATH
    with (
        known() if way == "tiles" else nullcontext(),
        attending(model, IMPLEMENTATIONS[way]),
        sdpa_kernel(kernels),
    ):
        yield


def eager(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Eager attention and no dropout in every part of `model` for as long as it lasts."""
    return attending(model, "eager")


@contextmanager
def attending(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """That attention and no dropout in every part of `model` for as long as it lasts."""
    name = "_attn_implementation_internal"  # the public setters refuse families that choose for themselves
    before = [(config, getattr(config, name)) for config in configurations(model)]
    training = [module for module in model.modules() if module.training]
    try:
        for config, _ in before:
            setattr(config, name, implementation)
        for module in training:
            module.training = False
        yield
    finally:
        for config, own in before:
            setattr(config, name, own)
        for module in training:
            module.training = True
