"""Finds, head by head, the matrices whose product gives the scores of a layer, where scores are such a product."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from audit.models.attention import by_head
from audit.models.matrices import followed, graphs, traced
from audit.models.sites import ROWS
from audit.models.tracing import Attention
from audit.results.subject import LayerCoverage

SAME = 1e-3  # relative: lengths of queries that are a matrix times what enters it, up to one factor and a rotation

_Parameters = Mapping[int, nn.Parameter]  # by id
_Entering = Mapping[nn.Module, Sequence[Tensor]]  # what went into each product, [token, width], run by run


class Products(NamedTuple):
    """W_Q and W_K of one layer, for tokens of unit size in every channel."""

    query: Tensor  # [head, head_dim, width], times the scale of the scores
    key: Tensor  # [key_value_head, head_dim, width]; both times the gain of the norm before


def products(model: PreTrainedModel, layers: Sequence[LayerCoverage]) -> dict[int, Products]:
    """The products of each layer; left out where queries or keys are no single product, or are normalised after it."""
    owners = {
        id(p): module
        for module in model.modules()
        if not isinstance(module, nn.Embedding)
        for p in module.parameters(recurse=False)
        if p.is_floating_point()
    }
    weights = {id(p): p for p in model.parameters() if id(p) in owners}
    by_name = {layer.name: layer for layer in layers if layer.kind == "self"}
    found: dict[int, Products] = {}
    with followed(list(weights.values())):
        with _watched(model) as entering:
            blocks = graphs(model)
        for block in blocks:
            mine = {id(p): p for p in model.get_submodule(block.name).parameters() if id(p) in weights}
            for attended in block.attended:
                both = _products(attended.found, mine, owners, entering) if attended.name in by_name else None
                if both:
                    found[by_name[attended.name].index] = both
    return found


@contextmanager
def _watched(model: PreTrainedModel) -> Iterator[_Entering]:
    """Keeps what enters each product for as long as it lasts."""
    entering: dict[nn.Module, list[Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs:
            entering.setdefault(module, []).append(inputs[0].detach().flatten(0, -2))

    handles = [
        m.register_forward_pre_hook(keep) for m in model.modules() if isinstance(m, nn.Linear | Conv1D)
    ]
    try:
        yield entering
    finally:
        for handle in handles:
            handle.remove()


def _products(
    found: Attention, mine: _Parameters, owners: Mapping[int, nn.Module], entering: _Entering
) -> Products | None:
    query = _slices(by_head(found.query, ROWS), mine, owners, entering)
    key = _slices(by_head(found.columns.mT, ROWS)[:, :: found.repetitions], mine, owners, entering)
    if query is None or key is None or query.shape[1:] != key.shape[1:]:
        return None
    return Products(query * _scale(found), key)


def _slices(
    made: Tensor, mine: _Parameters, owners: Mapping[int, nn.Module], entering: _Entering
) -> Tensor | None:
    """The rows of the one matrix that makes each head, [head, head_dim, width], with the gain of the norm before it."""
    used = traced(made, mine)
    matrices = [at for at in used if mine[at].dim() >= 2]
    if len(matrices) != 1 or not isinstance(owners[matrices[0]], nn.Linear | Conv1D):
        return None
    owner, parameter = owners[matrices[0]], mine[matrices[0]]
    along = 1 if isinstance(owner, Conv1D) else 0
    traces = [traced(made[:, head], {0: parameter}) for head in range(made.shape[1])]
    rows = [t[0].movedim(along, 0).flatten(1).any(1).nonzero().flatten() for t in traces if t]
    if [len(places) for places in rows] != [made.shape[-1]] * made.shape[1]:
        return None
    slices = torch.stack([parameter.detach().movedim(along, 0)[places] for places in rows]).double()
    factor = _factor(made, slices, _biases(owner, rows), entering.get(owner, ()))
    if factor is None:
        return None
    gains = {owners[at] for at in used if mine[at].shape == slices.shape[-1:]} - {owner}
    for norm in gains:
        slices = slices * _gain(norm, slices.shape[-1])
    return factor * slices


def _biases(owner: nn.Module, rows: Sequence[Tensor]) -> Tensor | None:
    bias = getattr(owner, "bias", None)
    return None if bias is None else torch.stack([bias.detach()[places] for places in rows]).double()


def _factor(made: Tensor, slices: Tensor, biases: Tensor | None, runs: Sequence[Tensor]) -> float | None:
    """What queries were multiplied with besides their matrix; None where that is not the same for all of them.

    Rotations keep their lengths; a norm makes them alike, whatever the matrix says.
    """
    lengths = torch.linalg.vector_norm(made.detach().double(), dim=-1).transpose(0, 1).flatten(1)
    for entered in runs:
        plain = torch.einsum("tw,hdw->htd", entered.double(), slices)
        plain = plain if biases is None else plain + biases[:, None]
        expected = torch.linalg.vector_norm(plain, dim=-1)
        if expected.shape == lengths.shape:
            ratio = lengths / expected
            if float((ratio - ratio.mean()).abs().max()) <= SAME * float(ratio.mean()):
                return float(ratio.mean())
    return None


def _gain(norm: nn.Module, width: int) -> Tensor:
    """What a norm multiplies each channel with, float64 [width]: its answer to a vector it has nothing to take from."""
    signs = torch.ones(width)
    signs[1::2] = -1.0
    like = next(norm.parameters())
    with torch.no_grad():
        up, down = (norm((sign * signs).to(like)[None, None])[0, 0].double() for sign in (1.0, -1.0))
    gain: Tensor = (up - down) / 2 * signs.to(up)
    return gain


def _scale(found: Attention) -> Tensor:
    """By what the products of queries and keys are multiplied to give scores, [head, 1, 1]."""
    scores = by_head(found.scores, ROWS)
    (slope,) = torch.autograd.grad(scores[:, :, -1, 0].sum(), found.query, retain_graph=True)
    slopes = by_head(slope, ROWS)[:, :, -1].double()
    keys = by_head(found.columns.mT.detach(), ROWS)[:, :, 0].double()
    return ((slopes * keys).sum((0, -1)) / keys.square().sum((0, -1)))[:, None, None]
