"""Reads the attention of fixed rows, so that one row can be compared between samples and between heads."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from audit.observations import AttentionObservation


class Rows(NamedTuple):
    """Some rows of each pattern of a batch; row and key r are the r-th real token, wherever the padding stands."""

    mass: Tensor  # float32 or wider [batch, head, row, key]; 0 where there is no such row or key
    seen: Tensor  # bool [batch, head or 1, row, key]: the row may see the key
    there: Tensor  # bool [batch, row]: the sample has such a row


def rows_of(observation: AttentionObservation, ranks: tuple[int, ...]) -> Rows:
    """The rows at `ranks` over the keys of each sample; those that none of them sees may be left out at the end."""
    row, there = _places(observation.queries, ranks)
    if bool(there.all()) and bool(observation.keys.all()):
        last = int(row.max()) + 1 if observation.mask.causal else None
        seen = observation.mask.rows(row)[..., :last]
        return Rows(_wide(observation.source.rows(row, last)), seen, there)
    column, held = _places(observation.keys, range(observation.keys.shape[1]))
    real = (there[:, None, :, None] & held[:, None, None, :]).expand(-1, observation.shape[1], -1, -1)
    seen = _picked(observation.mask.rows(row), column) & real
    mass = _wide(_picked(observation.source.rows(row), column))
    return Rows(torch.where(seen, mass, 0.0), seen, there)


def outputs_of(observation: AttentionObservation, ranks: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
    """Head outputs of the rows at `ranks`, float64 [batch, head, row, value_dim], and which rows are there."""
    if observation.head_output is None:
        return None
    row, there = _places(observation.queries, ranks)
    index = row[:, None, :, None].expand(-1, *_fitting(observation.head_output))
    picked = observation.head_output.gather(2, index).double()
    return torch.where(there[:, None, :, None], picked, 0.0), there


def off_sinks(observation: AttentionObservation) -> Tensor:
    """The keys that are no sinks, bool [batch, head, 1, key], at the places of `rows_of`, and all that follow."""
    column, held = _places(observation.keys, range(observation.keys.shape[1]))
    index = column[:, None].expand(-1, observation.sinks.shape[1], -1)
    return (~observation.sinks.gather(2, index) & held[:, None])[:, :, None]


@lru_cache(maxsize=8)  # all layers are asked for the same rows of the same tokens
def _places(tokens: Tensor, ranks: tuple[int, ...] | range) -> tuple[Tensor, Tensor]:
    """Positions of the real tokens of these ranks, [batch, rank], and whether they exist; tokens stand in one run.

    Known by the tensor itself: what changes it in place is not noticed.
    """
    rank = torch.tensor(ranks, device=tokens.device)
    first = tokens.int().argmax(-1, keepdim=True)
    there = rank < tokens.sum(-1, keepdim=True)
    return torch.where(there, first + rank, 0), there


def _picked(rows: Tensor, column: Tensor) -> Tensor:
    """The columns of some rows [batch, head, row, key], [batch, head, row, column]."""
    return rows.gather(3, column[:, None, None, :].expand(-1, *rows.shape[1:3], -1))


def _wide(mass: Tensor) -> Tensor:
    return mass.to(torch.promote_types(mass.dtype, torch.float32))


def _fitting(outputs: Tensor) -> tuple[int, int, int]:
    return outputs.shape[1], -1, outputs.shape[3]
