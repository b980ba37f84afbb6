"""Finds the matrices of every attention layer by what depends on them: queries, keys, values, W_O and the MLP."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from audit.models.inputs import Fed
from audit.models.location import numbered
from audit.models.passes import Watcher, run
from audit.models.residual import hidden_states
from audit.models.sites import few_tokens
from audit.models.tracing import Addition, Attention
from audit.observations import PARTS, Part
from audit.results.subject import LayerCoverage

JOINED: tuple[Part, ...] = (
    "query",
    "key",
    "value",
)  # families that compute these in one product join their matrices


@dataclass(frozen=True, slots=True)
class Matrix:
    """A parameter, or the rows (columns) of it that belong to one part."""

    parameter: nn.Parameter
    along: int = 0
    places: Tensor | None = None  # int64, indices along that axis; None: all

    def of(self, tensor: Tensor) -> Tensor:
        """This matrix's share of the parameter, or of a tensor of the parameter's shape such as its gradient."""
        return tensor if self.places is None else tensor.index_select(self.along, self.places)


Matrices = Mapping[Part, Sequence[Matrix]]
_Traces = dict[int, Tensor]  # where a result depends on a parameter (nonzero entries), by the parameter's id


def matrices(model: PreTrainedModel, layers: Sequence[LayerCoverage]) -> dict[int, Matrices]:
    """The matrices of each layer; a part of which none was found is left out.

    Found on a few random tokens, by differentiating what each attention computes by every matrix of its block. The MLP
    is what is left of a block that no attention claims, and stands at the block's first attention layer.
    """
    weights = {id(p): p for m in model.modules() for p in m.parameters(recurse=False) if _is_matrix(m, p)}
    with followed(list(weights.values())):
        blocks = graphs(model)
        return _by_layer(model, blocks, weights, {layer.name: layer.index for layer in layers})


def graphs(model: PreTrainedModel) -> list["BlockGraph"]:
    """The blocks of a pass of a few random tokens, on autograd's graph; no gradient gets from one to the one before.

    Parameters that are to be found on it must be `followed` meanwhile.
    """
    watcher = _Graphs(few_tokens(model))
    run(model, watcher.fed, watcher, differentiable=True)
    for tensor in watcher.streams:
        if tensor.requires_grad:
            tensor.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]
    return watcher.blocks


@contextmanager
def followed(parameters: Collection[nn.Parameter]) -> Iterator[None]:
    """Autograd follows these parameters for as long as it lasts, and keeps no gradient of them."""
    before = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, flag in zip(parameters, before, strict=True):
            parameter.requires_grad_(flag).grad = None


def _is_matrix(module: nn.Module, parameter: nn.Parameter) -> bool:
    return parameter.dim() >= 2 and parameter.is_floating_point() and not isinstance(module, nn.Embedding)


@dataclass
class AttentionGraph:
    """One attention, on autograd's graph."""

    name: str
    found: Attention
    update: Tensor | None = None  # what it added to the stream


@dataclass
class BlockGraph:
    """One run of a block."""

    name: str
    attended: list[AttentionGraph] = field(default_factory=list)
    more: bool = False  # something beside attention adds to the stream


class _Graphs(Watcher):
    """Keeps what attentions compute."""

    def __init__(self, fed: Fed) -> None:
        self.fed = fed
        self.blocks: list[BlockGraph] = []
        self.streams: list[Tensor] = []
        self._times: Counter[str] = Counter()
        self._block = BlockGraph("")

    def entered(self, block: str) -> None:
        """A block to be filled."""
        self._block = BlockGraph(block)
        self.blocks.append(self._block)

    def attended(self, found: Attention, name: str) -> Tensor:
        """The attention as it is."""
        self._times[name] += 1
        self._block.attended.append(AttentionGraph(numbered(name, self._times[name]), found))
        return found.output

    def added(self, addition: Addition) -> None:
        """Notes the stream, and what was added."""
        self.streams.append(addition.stream)
        mine = [a for a in self._block.attended if a.found.number == addition.attention]
        for attended in mine:
            attended.update = addition.update
        self._block.more |= not mine or addition.beside is not None

    def left(self, _block: str, output: Any, _additions: object) -> None:
        """The stream goes on to the next block."""
        for positions in {self.fed.encoder.tokens.shape, self.fed.decoder.tokens.shape}:
            if (hidden := hidden_states(output, tuple(positions))) is not None:
                self.streams.append(hidden)


def _by_layer(
    model: PreTrainedModel,
    blocks: Sequence[BlockGraph],
    weights: Mapping[int, nn.Parameter],
    layers: Mapping[str, int],
) -> dict[int, Matrices]:
    found: dict[int, Matrices] = {}
    for block in blocks:
        mine = {id(p): p for p in model.get_submodule(block.name).parameters() if id(p) in weights}
        claimed: set[int] = set()
        parts = [(attended.name, _parts(attended, mine, claimed)) for attended in block.attended]
        if parts and block.more and all("output" in of for _, of in parts):
            parts[0][1]["mlp"] = [
                Matrix(mine[at]) for at in mine if at not in claimed | _beside(model, claimed)
            ]
        for name, of in parts:
            if name in layers:
                found[layers[name]] = {part: of[part] for part in PARTS if of.get(part)}
    return found


def _beside(model: PreTrainedModel, claimed: set[int]) -> set[int]:
    """Parameters that a module holds next to claimed ones, such as position biases that enter the scores."""
    own = [{id(p) for p in module.parameters(recurse=False)} for module in model.modules()]
    return set().union(*(ids for ids in own if ids & claimed))


def _parts(
    attended: AttentionGraph, mine: Mapping[int, nn.Parameter], claimed: set[int]
) -> dict[Part, list[Matrix]]:
    """The matrices of one attention that no other of the block claimed before."""
    found = attended.found
    sources = (found.query, found.columns, found.value)
    free = {at: p for at, p in mine.items() if at not in claimed}
    traces = {part: traced(source, free) for part, source in zip(JOINED, sources, strict=True)}
    parts: dict[Part, list[Matrix]] = {
        part: [_share(free[at], traces, part, at) for at in traces[part]] for part in JOINED
    }
    within = set(traced(found.output, free)).union(*traces.values())
    if attended.update is not None:
        whole = set(traced(attended.update, free))
        parts["output"] = [Matrix(free[at]) for at in free if at in whole - within]
        claimed |= whole
    claimed |= within
    return parts


def traced(result: Tensor, weights: Mapping[int, nn.Parameter]) -> _Traces:
    """Which of the weights `result` depends on, and where."""
    if not result.requires_grad or not weights:
        return {}
    generator = torch.Generator().manual_seed(0)  # a sum would not do: norms make it constant
    direction = torch.randn(result.shape, generator=generator).to(result)
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
        result, [*weights.values()], direction, retain_graph=True, allow_unused=True
    )
    traces = {at: g != 0 for at, g in zip(weights, gradients, strict=True) if g is not None}
    return {at: trace for at, trace in traces.items() if bool(trace.any())}


def _share(parameter: nn.Parameter, traces: Mapping[Part, _Traces], part: Part, at: int) -> Matrix:
    """The share of one part in a parameter; all of it where the parts in it have no rows (columns) of their own."""
    others = [traces[other][at] for other in JOINED if other != part and at in traces[other]]
    for along in range(parameter.dim()) if others else ():
        mine = _touched(traces[part][at], along)
        if not any(bool((_touched(other, along) & mine).any()) for other in others):
            return Matrix(parameter, along, mine.nonzero().flatten())
    return Matrix(parameter)


def _touched(trace: Tensor, along: int) -> Tensor:
    """Indices along that axis at which anything depends on the parameter, bool."""
    return trace.movedim(along, 0).flatten(1).any(1)
