"""Runs one backward pass of a loss and hands out what it leaves at each attention layer, nothing of which is kept."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from audit.errors import MachineFault, UnusableInput
from audit.models.attention import by_head, is_whole, positions
from audit.models.inputs import Fed
from audit.models.location import numbered
from audit.models.matrices import Matrices, Matrix, followed, matrices
from audit.models.passes import FAULTS, LESS, Watcher, is_of_memory, run
from audit.models.residual import hidden_states
from audit.models.tracing import Attention
from audit.observations import PARTS, GradientObservation
from audit.results.subject import LayerCoverage


class Backward:
    """Backward passes through one model: which matrices to look at is found once."""

    def __init__(self, model: PreTrainedModel, layers: Sequence[LayerCoverage]) -> None:
        """Finds the matrices of `layers`.

        Raises:
            UnusableInput: the model fails on random tokens.
        """
        self._model, self._layers = model, layers
        self._matrices = matrices(model, layers)
        self._weights = {index: _weights(of) for index, of in self._matrices.items()}

    def observe(self, fed: Fed, loss: Callable[[Any], Tensor]) -> Iterator[GradientObservation]:
        """What one forward and backward pass of ONE sample leaves at each layer, first to last.

        Only the matrices in question get gradients, and each is measured and let go the moment it is there, so that
        no two of them are in memory at once. Several samples in one pass would add their gradients up.

        Args:
            fed: one row.
            loss: a number, from the model's output.

        Raises:
            UnusableInput: the model fails in the forward or in the backward pass.
            MachineFault: too little memory.
        """
        points = _Points(fed, self._layers)
        squares = {index: torch.where(w.isnan(), w, 0.0) for index, w in self._weights.items()}
        with _measured(self._matrices, squares):
            output = run(self._model, fed, points, differentiable=True)
            _backward(self._model, loss, output)
        del output
        absent = torch.full((len(PARTS),), torch.nan, dtype=torch.float64)
        for around in points.around():
            yield GradientObservation(
                gradient_norms=squares.get(around["layer"], absent).sqrt()[None],
                weight_norms=self._weights.get(around["layer"], absent)[None],
                **around,
            )


class _Point(NamedTuple):
    """A tensor of the pass, and where its gradient arrives."""

    tensor: Tensor
    gradient: list[Tensor]

    def listen(self) -> None:
        """Takes the gradient when it comes."""
        if self.tensor.requires_grad:
            self.tensor.register_hook(self.gradient.append)  # type: ignore[no-untyped-call]


class _Points(Watcher):
    """Keeps the tensors whose gradients are asked for: head outputs, and the stream between blocks."""

    def __init__(self, fed: Fed, layers: Sequence[LayerCoverage]) -> None:
        self._fed, self._all = fed, layers
        self._layers = {layer.name: layer for layer in layers}
        self._times: Counter[str] = Counter()
        self._here: list[LayerCoverage] = []
        self._opening: set[int] = set()  # layers that open a block
        self._heads: dict[int, _Point] = {}  # by layer
        self._leaving: dict[int, _Point] = {}
        self._entering: dict[int, _Point] = {}
        self._last: dict[str, _Point] = {}  # by stack: the stream that left its newest block

    def entered(self, _block: str) -> None:
        """Forgets the attentions of the block before."""
        self._here = []

    def attended(self, found: Attention, name: str) -> Tensor:
        """The attention as it is; its output gets its place on the graph only after it was returned."""
        self._times[name] += 1
        layer = self._layers.get(numbered(name, self._times[name]), self._layers.get(name))
        if layer is not None and layer.reason is None and is_whole(found, self._fed):
            if not self._here:
                self._opening.add(layer.index)
            self._here.append(layer)
            self._heads[layer.index] = _Point(found.output, [])
        return found.output

    def left(self, block: str, output: Any, _additions: object) -> None:
        """The stream between this block and the next."""
        for layer in self._here:
            self._heads[layer.index].listen()
        stack = next((layer.stack for layer in self._all if f"{layer.name}.".startswith(f"{block}.")), "")
        before = self._last.pop(stack, None)
        hidden = hidden_states(output, self._shape(stack))
        if hidden is None:
            return
        self._last[stack] = point = _Point(hidden, [])
        point.listen()
        for layer in self._here:
            self._leaving[layer.index] = point
            if before is not None:
                self._entering[layer.index] = before

    def around(self) -> Iterator[dict[str, Any]]:
        """What is known of each layer seen, by the names of an observation."""
        for layer in self._all:
            if layer.index in self._heads:
                head = self._heads[layer.index]
                leaving, entering = self._leaving.get(layer.index), self._entering.get(layer.index)
                found = {
                    "tokens": positions(self._fed, layer).tokens,
                    "head_output": by_head(head.tensor.detach(), 1),
                    "head_gradient": by_head(head.gradient[0], 1) if head.gradient else None,
                    **self._pair("hidden", leaving, layer),
                    **self._pair("entering", entering, layer),
                }
                here = head.tensor.device  # the block before may have run elsewhere
                yield {
                    "layer": layer.index,
                    "opens_block": layer.index in self._opening,
                    **{name: None if each is None else each.to(here) for name, each in found.items()},
                }

    def _pair(self, name: str, point: _Point | None, layer: LayerCoverage) -> dict[str, Tensor | None]:
        """The stream at a point and its gradient, both [batch, token, width]."""
        if point is None or not point.gradient:
            return {name: None, f"{name}_gradient": None}
        both = point.tensor.detach(), point.gradient[0]
        if both[0].shape[:2] != self._shape(layer.stack):
            both = both[0].transpose(0, 1), both[1].transpose(0, 1)
        return dict(zip((name, f"{name}_gradient"), both, strict=True))

    def _shape(self, stack: str) -> tuple[int, ...]:
        return tuple((self._fed.encoder if stack == "encoder" else self._fed.decoder).tokens.shape)


@contextmanager
def _measured(found: Mapping[int, Matrices], squares: Mapping[int, Tensor]) -> Iterator[None]:
    """Adds the squared norm of every gradient that arrives to `squares` [part] and lets go of it."""
    uses: dict[nn.Parameter, list[tuple[Tensor, int, Matrix]]] = {}
    for index, parts in found.items():
        for part, several in parts.items():
            for matrix in several:
                uses.setdefault(matrix.parameter, []).append((squares[index], PARTS.index(part), matrix))
    with followed(uses):
        handles = [
            parameter.register_post_accumulate_grad_hook(partial(_measure, uses=mine))  # type: ignore[no-untyped-call]
            for parameter, mine in uses.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _measure(parameter: Tensor, uses: Sequence[tuple[Tensor, int, Matrix]]) -> None:
    gradient, parameter.grad = parameter.grad, None
    if gradient is not None:
        for squares, part, matrix in uses:
            squares[part] += _square(matrix.of(gradient))


def _weights(parts: Matrices) -> Tensor:
    """Frobenius norm of the matrices of each part together, float64 [part]; NaN for one that has none."""
    squares = [
        sum((_square(m.of(m.parameter.detach())) for m in parts.get(p, ())), start=torch.zeros(()))
        for p in PARTS
    ]
    norms = torch.stack([square.double().sqrt() for square in squares])
    return torch.where(torch.tensor([bool(parts.get(part)) for part in PARTS]), norms, torch.nan)


def _square(tensor: Tensor) -> Tensor:
    """Squared Frobenius norm, float64 on the CPU."""
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=torch.float64)
    return norm.square().cpu()


def _backward(model: PreTrainedModel, loss: Callable[[Any], Tensor], output: Any) -> None:
    try:
        with torch.enable_grad():
            loss(output).backward()  # type: ignore[no-untyped-call]
    except FAULTS as error:
        if is_of_memory(error):
            raise MachineFault(
                f"memory gave out in the backward pass of {type(model).__name__}: {LESS}"
            ) from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise UnusableInput(f"{type(model).__name__} failed in its backward pass: {reason}") from error
