"""How far the weights of one checkpoint lie from those of another, read from their files, a few rows at a time."""

import math
from collections.abc import Iterator

from safetensors import safe_open
from torch import Tensor

from audit.checkpoint.records import Checkpoint
from audit.errors import UnusableInput

_NUMBERS = 4_000_000  # read at once


def moved(first: Checkpoint, now: Checkpoint) -> float | None:
    """||W - W_0||_F / ||W_0||_F over all floating weights of both, dimensionless; None where it is not finite.

    Source: Kumar et al. 2023, arXiv 2310.06110 (distance from the initialisation tells lazy from rich training).
    Raises UnusableInput where the weights are no safetensors or not of the same names and shapes.
    """
    for checkpoint in (first, now):
        if checkpoint.form != "safetensors":
            raise UnusableInput(
                f"how far weights moved is read from safetensors only, these are {checkpoint.form}"
            )
    shapes = [{name: each.shape for name, each in side.tensors.items()} for side in (first, now)]
    if shapes[0] != shapes[1]:
        odd = min(set(shapes[0].items()) ^ set(shapes[1].items()))
        raise UnusableInput(
            f"how far weights moved has no meaning, for the tensors differ, {odd[0]!r} among them"
        )
    distance = size = 0.0
    for name in sorted(shapes[0]):
        for before, after in zip(_parts(first, name), _parts(now, name), strict=True):
            if before.is_floating_point():
                distance += float((after.double() - before.double()).square().sum())
                size += float(before.double().square().sum())
    share = math.sqrt(distance / size) if size > 0 and math.isfinite(distance) else math.inf
    return share if math.isfinite(share) else None


def _parts(checkpoint: Checkpoint, name: str) -> Iterator[Tensor]:
    """A tensor in parts of some rows each."""
    header = checkpoint.tensors[name]
    with safe_open(checkpoint.directory / header.file, framework="pt", backend="pread") as file:
        if not header.shape:
            yield file.get_tensor(name)
            return
        part = file.get_slice(name)
        rows = max(1, _NUMBERS // max(1, math.prod(header.shape[1:])))
        for start in range(0, header.shape[0], rows):
            yield part[start : min(start + rows, header.shape[0])]
