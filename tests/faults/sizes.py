"""What is read off a block at work, to dose a fault and to show that it is there."""

import torch
from torch import Tensor

from tests.faults.looking import Glimpse, Site


def contributions(site: Site, seen: Glimpse) -> Tensor:
    """Mean norm of what each head adds to the stream, [head]."""
    return torch.einsum("bthd,whd->bthw", seen.heads, site.wires.output).norm(dim=-1).mean((0, 1))


def loudness(seen: Glimpse) -> Tensor:
    """Mean norm of the output of each head, [head]."""
    return seen.heads.norm(dim=-1).mean((0, 1))


def explained(pattern: Tensor) -> float:
    """The most that one place, one distance, or the two ends receive of rows 8 and on, [text, row, key]."""
    rows, keys = torch.arange(8, 8 + pattern.shape[1])[:, None], torch.arange(pattern.shape[2])
    mean = pattern.mean(0)
    distances = [mean[rows - keys == distance] for distance in range(-20, 21)]
    apart = max(float(found.mean()) for found in distances if len(found) >= 8)
    return max(apart, float(mean.mean(0).max()), float(mean[:, 0].mean() + mean[:, -1].mean()))
