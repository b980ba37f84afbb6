"""Nodes and sums for expectations over one or two softmax rows of Gaussian scores.

A row is A_j = u_j / S with u_j = exp(s x_j), S = sum_k u_k and x_j ~ N(0, 1) for T keys; a second row B has energies
y_j of correlation c with x_j. The sums S are taken out by 1/S^k = int t^(k-1) exp(-t S) dt / Gamma(k), after which
the T keys are independent and every expectation is an integral over one or two levels t, done by the trapezoid rule
in log t: errors stay below 1e-6 of the value from T = 2 to T = 10^6.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEP = 0.4  # of log t: the trapezoid rule errs by |Gamma(k + 2 pi i / STEP)| / Gamma(k), 3e-9 at k = 2, 2e-7 at k = 4
_WIDER = 0.1  # of s: what depends on log t varies over s/4 at least, so wide scores need few levels
_SPACING = 0.7  # of s x: the trapezoid rule errs by exp(-2 pi (pi / 2) / SPACING) = 8e-7
_REACH = 8.5  # standard deviations; of 10^6 keys one lies beyond with probability 1e-11
_BELOW = 24.0  # how far the levels go below 1 / (largest sum): what is left out is exp(-24) of the value
_HUGE = 7.0  # exp(-exp(7)) is 0 in float64
_NOTHING = 1e-18
_SMALL, _SMALL_VECTOR = 2**18 - 1, 9000  # multiplications OpenBLAS does on one thread


class Row(NamedTuple):
    """Nodes of one row; `exponents` is log t + s x, [level, energy]."""

    tokens: int
    step: float  # of the levels
    levels: Array  # log t
    energies: Array  # x
    weights: Array  # of the energies, summing to 1
    exponents: Array

    def mean(self, power: int) -> Array:
        """E[(t u)^power exp(-t u)] at every level."""
        found: Array = times(damped(self.exponents, power), self.weights)
        return found

    def alive(self, count: int) -> Array:
        """E[exp(-t u)]^count at every level: what `count` other keys leave of it."""
        return _survival(times(_lost(self.exponents), self.weights), count)

    def power_sum(self, power: int) -> float:
        """E sum_j A_j^power."""
        total = np.sum(self.mean(power) * self.alive(self.tokens - 1)) * self.step
        return float(self.tokens * total / math.gamma(power))

    def squared_overlap(self) -> float:
        """E (sum_j A_j^2)^2."""
        pairs = np.sum(self.mean(2) ** 2 * self.alive(self.tokens - 2)) * self.step / 6.0
        return self.power_sum(4) + float(self.tokens * (self.tokens - 1) * pairs)


class Pair(NamedTuple):
    """Two rows with energies x and y = x cos(angle) + z sin(angle)."""

    first: Row
    second: Array  # exponents of the second row, on a grid of its own
    joint: Array  # weights, [energy of the second row, of the first]
    lost: Array  # 1 - E exp(-t u - r w) at every pair of levels

    def products(self, a: int, b: int) -> float:
        """E sum_j A_j^a B_j^b."""
        tokens = self.first.tokens
        total = np.sum(self._mean(a, b) * _survival(self.lost, tokens - 1)) * self.first.step**2
        return float(tokens * total / (math.gamma(a) * math.gamma(b)))

    def squared_overlap(self) -> float:
        """E (sum_j A_j B_j)^2."""
        tokens = self.first.tokens
        other = np.sum(self._mean(1, 1) ** 2 * _survival(self.lost, tokens - 2)) * self.first.step**2
        return self.products(2, 2) + float(tokens * (tokens - 1) * other)

    def _mean(self, a: int, b: int) -> Array:
        found: Array = times(damped(self.first.exponents, a), times(damped(self.second, b), self.joint).T)
        return found


def row(score_sd: float, tokens: int) -> Row:
    """The nodes of one row of `tokens` keys with score spread `score_sd`."""
    energies = _grid(score_sd)
    weights = np.exp(-0.5 * energies**2)
    widest = _REACH * score_sd
    step = max(_STEP, _WIDER * score_sd)
    levels = np.arange(-widest - math.log(tokens) - _BELOW, widest + 4.0, step)
    return Row(tokens, step, levels, energies, weights / weights.sum(), levels[:, None] + score_sd * energies)


def pair(score_sd: float, angle: float, tokens: int) -> Pair:
    """The nodes of two rows whose energies have correlation cos(angle), angle > 0."""
    first = _trimmed(row(score_sd, tokens))
    energies = _grid(score_sd, finest=_SPACING * math.sin(angle))
    offsets = (energies[:, None] - first.energies * math.cos(angle)) / math.sin(angle)
    joint = np.exp(-0.5 * offsets**2)
    joint = joint / joint.sum(0) * first.weights
    second = first.levels[:, None] + score_sd * energies
    alone, both = _lost(first.exponents), _lost(second)
    one = times(alone, first.weights)
    return Pair(first, second, joint, one[:, None] + one - times(alone, times(both, joint).T))


def times(rows: Array, matrix: Array) -> Array:
    """Rows @ matrix, by blocks of rows so small that the linear algebra library keeps to one thread.

    On a busy machine, starting and awaiting its others made a diagram ten times slower.
    """
    size = max(1, (_SMALL if matrix.ndim > 1 else _SMALL_VECTOR) // matrix.size)
    if len(rows) <= size:
        return rows @ matrix
    return np.concatenate([rows[start : start + size] @ matrix for start in range(0, len(rows), size)])


def damped(exponents: Array, power: int) -> Array:
    """v^power exp(-v) for v = exp(exponents), 0 where v is huge."""
    exponents = np.minimum(exponents, _HUGE)
    found: Array = np.exp(power * exponents - np.exp(exponents))
    return found


def _grid(score_sd: float, *, finest: float = math.inf) -> Array:
    step = min(_SPACING / max(score_sd, _SPACING), 0.2, finest)
    return np.arange(-_REACH, _REACH + step, step)


def _trimmed(row: Row) -> Row:
    """`row` without the levels at which nothing is left of the other keys: half of them, in long rows."""
    left = row.alive(row.tokens - 2) > _NOTHING
    return row._replace(levels=row.levels[left], exponents=row.exponents[left])


def _lost(exponents: Array) -> Array:
    """1 - exp(-v) for v = exp(exponents), exact for small v."""
    return -np.expm1(-np.exp(np.minimum(exponents, _HUGE)))


def _survival(lost: Array, count: int) -> Array:
    """(1 - lost)^count, exact for small losses."""
    found: Array = np.exp(count * np.log1p(-np.clip(lost, 0.0, 1.0 - 1e-15)))
    return found
