"""How alike two positions are by their distance alone: of tables of positions, and of rotations."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CHUNK = 2**14  # distances at once
ROUNDING = 1e-6  # of a cosine in float32


def table_likeness(table: Tensor, distances: Sequence[int]) -> list[float]:
    """<P(p), P(p + k)> averaged over p, over the mean of |P(p)|^2, for each distance k < rows.

    For a sinusoidal table that is sum_i cos(w_i k) over the number of frequencies, whatever p.

    Args:
        table: [position, width].
        distances: in positions.
    """
    table = table.double()
    own = table.square().sum(-1).mean()
    return [float((table[: len(table) - k] * table[k:]).sum(-1).mean() / own) for k in distances]


def depends_on_distance_alone(table: Tensor, *, tolerance: float = 1e-3) -> bool:
    """Whether <P(p), P(p + k)> is the same for all p, as in a sinusoidal table and in no learned one.

    Distances are powers of two; a table of equal rows is not meant.
    """
    table = table.double()
    own = table.square().sum(-1)
    if len(table) < 4 or float(own.min()) <= 0 or float((table - table.mean(0)).abs().max()) == 0:
        return False
    powers = [2**power for power in range(int(math.log2(len(table) - 1)))]
    products = [own, *((table[:-k] * table[k:]).sum(-1) for k in powers)]
    return all(float(found.max() - found.min()) <= tolerance * float(own.mean()) for found in products)


def rotation_likeness(frequencies: Tensor, distances: Sequence[int]) -> list[float]:
    """Mean of cos(w_i k) over the frequencies w_i (radians per token): a key turned by k against itself."""
    angles = torch.as_tensor(list(distances), dtype=torch.float64)[:, None] * frequencies.double()
    likeness: list[float] = angles.cos().mean(-1).tolist()
    return likeness


def first_negative(frequencies: Tensor, limit: int) -> int | None:
    """The first distance below `limit` at which the rotations of one key are less alike than none; None if none.

    Source: Men et al. 2024, Base of RoPE Bounds Context Length, arXiv 2405.14591: beyond it a key that is the same
    is no longer preferred to one that is not.
    """
    for start in range(1, limit, CHUNK):
        distances = range(start, min(limit, start + CHUNK))
        for distance, likeness in zip(distances, rotation_likeness(frequencies, distances), strict=True):
            if likeness < -ROUNDING:
                return distance
    return None
