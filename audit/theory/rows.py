"""Attention rows at every position a stack is followed at: one without a mask, some under a causal one."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from audit.theory.architecture import Architecture
from audit.theory.overlaps import Overlaps
from audit.theory.quadrature import Array
from audit.theory.table import FiniteLength, InfiniteLength, finite_length

_POSITIONS = 4  # from the first token to the last, evenly in their logarithm
_SPREADS, _ANGLES = 14, 8  # nodes of the shorter rows' tables, whose part is small


class Overlapping(Protocol):
    """What a row and two rows share, by score spread [position, ...] and correlation [position, position, ...]."""

    @property
    def averages(self) -> Array:
        """Weights with which a position averages over the positions it sees, [position, position]."""

    def rows(self, score_sd: Array, correlation: Array) -> Overlaps:
        """`own` and `pull` [position, ...]; `cross` [position, position, ...]."""


@dataclass(frozen=True, slots=True)
class EveryKey:
    """Rows that all see the same keys."""

    table: FiniteLength | InfiniteLength

    @property
    def averages(self) -> Array:
        """One position."""
        return np.ones((1, 1))

    def rows(self, score_sd: Array, correlation: Array) -> Overlaps:
        """Straight from the table; of several positions only the last counts."""
        found = self.table(score_sd[-1], correlation[-1, -1])
        return Overlaps(found.own[None], found.cross[None, None], found.pull[None])


@dataclass(frozen=True, slots=True)
class EarlierKeys:
    """Rows under a causal mask at some positions: row i sees keys 1 to i."""

    positions: tuple[int, ...]  # number of keys seen; the last is T
    tables: tuple[FiniteLength, ...]  # of all but the first position, which sees itself alone
    averages: Array

    def rows(self, score_sd: Array, correlation: Array) -> Overlaps:
        """Two rows of lengths n <= m share n* Y12(n*) / m at n* = sqrt(n m): exact for even attention."""
        if len(score_sd) == 1:  # late tokens alone
            return EveryKey(self.tables[-1]).rows(score_sd, correlation)
        own, pull = np.ones_like(score_sd), np.zeros_like(score_sd)
        logs = np.zeros_like(correlation)
        between = np.sqrt(score_sd[:, None] * score_sd[None, :])
        for at, table in enumerate(self.tables, 1):
            # a row and a column at once: half of log(n Y12(n)) comes from either length
            along = table(between[at], correlation[at])
            half = 0.5 * np.log(table.tokens * along.cross)
            logs[at] += half
            logs[:, at] += half
            own[at] = along.own[at]
            pull[at] = along.pull[at]
        longest = np.maximum.outer(self.positions, self.positions).astype(np.float64)
        cross = np.exp(logs) / longest.reshape(longest.shape + (1,) * (correlation.ndim - 2))
        return Overlaps(own, np.minimum(cross, np.minimum(own[:, None], own[None, :])), pull)


def rows_of(architecture: Architecture) -> Overlapping:
    """The rows of an architecture: half a second of work the first time, or twice that for a causal one."""
    return _rows(architecture.tokens, causal=architecture.causal)


@lru_cache(maxsize=16)
def _rows(tokens: int, *, causal: bool) -> Overlapping:
    last = finite_length(tokens)
    if not causal:
        return EveryKey(last)
    positions = np.unique(np.geomspace(1, tokens, _POSITIONS).round().astype(np.int64)).tolist()
    shorter = [finite_length(n, spreads=_SPREADS, angles=_ANGLES) for n in positions[1:-1]]
    return EarlierKeys(tuple(positions), (*shorter, last), _averages(positions))


def infinite_rows(architecture: Architecture) -> Overlapping:
    """Those of the paper's T -> infinity map, which knows late tokens only."""
    return EveryKey(InfiniteLength(architecture.tokens))


def _averages(positions: list[int]) -> Array:
    """Mean over tokens 1 to n of what is linear in log(token) between the positions, [n, position]."""
    every = np.log(np.arange(1, positions[-1] + 1))
    hats = np.stack([np.interp(every, np.log(positions), hat) for hat in np.eye(len(positions))])
    sums: Array = np.cumsum(hats, axis=1)[:, np.array(positions) - 1]
    shares: Array = (sums / np.array(positions)).T
    return shares
