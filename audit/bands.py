"""Masks in which each row sees one run of keys, as causal rows, windows, chunks and padding make: two numbers per row.

They take memory with the length of a sample where a table of all pairs takes it with the square.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from audit.patterns import Mask, Part


class Runs(NamedTuple):
    """The keys that rows see, int64 [batch, query]; both are 0 where there are none."""

    first: Tensor
    stop: Tensor

    @classmethod
    def of(cls, seen: Tensor) -> "Runs | None":
        """From bool [batch, head or 1, query, key]; None if heads differ or there are gaps."""
        first, count = seen.int().argmax(-1), seen.sum(-1)
        stop = torch.where(count > 0, first + count, 0)
        keys = torch.arange(seen.shape[-1], device=seen.device)
        runs = cls(first[:, 0], stop[:, 0])
        return runs if torch.equal(_among(runs, keys).expand_as(seen), seen) else None


@dataclass(frozen=True)
class Band(Mask):
    """A mask of runs."""

    runs: Runs = field(kw_only=True)

    @cached_property
    def shown(self) -> Tensor:
        """The keys that are visible, bool [batch, 1, query, key], rows of padding among them."""
        return _among(self.runs, torch.arange(self.keys, device=self.real.device))

    @cached_property
    def per_row(self) -> Tensor:
        """Number of keys each row sees, int64 [batch, 1, query]."""
        return (self._real.stop - self._real.first)[:, None]

    @cached_property
    def per_key(self) -> Tensor:
        """Number of rows that see each key, int64 [batch, 1, key]."""
        first, stop = self._real
        change = first.new_zeros(len(first), self.keys + 1)
        change.scatter_add_(1, first, torch.ones_like(first)).scatter_add_(1, stop, -torch.ones_like(stop))
        return change.cumsum(-1)[:, None, : self.keys]

    def along(self, offsets: Sequence[int]) -> Tensor:
        """Number of rows that see the key at each offset from themselves, int64 [batch, 1, offset]."""
        key = torch.arange(self.real.shape[1], device=self.real.device)
        key = key + torch.tensor(offsets, device=key.device)[:, None]
        first, stop = (each[:, None] for each in self._real)
        return ((first <= key) & (key < stop)).sum(-1)[:, None]

    def seeing(self, at: Tensor) -> Tensor:
        """Which rows see the key of each (sample, head, key) in `at` [column, 3], bool [column, query]."""
        first, stop = (each[at[:, 0]] for each in self._real)
        return (first <= at[:, 2:]) & (at[:, 2:] < stop)

    def rows(self, which: Tensor) -> Tensor:
        """The keys that the rows at `which` [batch, row] see, bool [batch, 1, row, key]."""
        runs = Runs(*(each.gather(1, which) for each in self._real))
        return _among(runs, torch.arange(self.keys, device=self.real.device))

    def rows_of(self, keys: slice) -> slice:
        """The rows from the first to the last that see one of those keys."""
        some = ((self._real.first < keys.stop) & (self._real.stop > keys.start)).any(0).nonzero()
        return slice(int(some[0]), int(some[-1]) + 1) if len(some) else slice(0, 0)

    def hidden(self, part: Part) -> tuple[slice, Tensor]:
        """Which rows of a part have keys that they do not see, and those keys."""
        keys = torch.arange(part.keys.start, part.keys.stop, device=self.real.device)
        return slice(None), ~_among(Runs(*(each[part.samples, part.rows] for each in self._real)), keys)

    @property
    def _plain(self) -> bool:
        """False: scores that a family makes itself may be infinite where they are hidden."""
        return False

    @cached_property
    def _real(self) -> Runs:
        """The runs, empty in rows of padding."""
        return Runs(*(torch.where(self.real, each, 0) for each in self.runs))


def _among(runs: Runs, keys: Tensor) -> Tensor:
    """Which keys lie in the run of each row, bool [batch, 1, row, key]."""
    return ((keys >= runs.first[..., None]) & (keys < runs.stop[..., None]))[:, None]
