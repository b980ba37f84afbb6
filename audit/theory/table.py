"""Overlaps for many pairs of score spread and correlation at once, from one Chebyshev fit per row length."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from audit.theory.overlaps import FROZEN, Overlaps, cross_overlap, own_overlap
from audit.theory.quadrature import Array

_SPREADS, _ANGLES = 16, 10  # nodes; within 3e-3 of the integrals to T = 10^4, 2e-2 at 10^5


@dataclass(frozen=True, slots=True)
class FiniteLength:
    """Overlaps of rows of `tokens` keys: call it with arrays of score spread and correlation.

    What is fitted is log(T Y2) / h and log(T Y12) / (h c) with h = s^2 / (1 + s^2), which stay finite where the
    overlaps become those of even attention; so T Y - 1, the part that centred attention keeps, is exact too.
    """

    tokens: int
    widest: float
    own: Array  # coefficients [spread]
    cross: Array  # coefficients [spread, angle]

    def __call__(self, score_sd: Array, correlation: Array) -> Overlaps:
        """Y2, Y12 and pull at each cell; beyond the fitted spread 1 - Y2 falls as 1/s, as when frozen (within .03)."""
        score_sd, correlation = np.broadcast_arrays(score_sd, np.clip(correlation, 0.0, 1.0))
        inside = np.minimum(score_sd, self.widest)
        own, cross = self._fitted(inside, correlation)
        far = 1.0 - (1.0 - own) * inside / np.maximum(score_sd, inside + 1e-300)
        return Overlaps(far, cross * np.sqrt(far / own), (score_sd * (1.0 - far)) ** 2)

    def _fitted(self, score_sd: Array, correlation: Array) -> tuple[Array, Array]:
        spread = 2.0 * np.log1p(score_sd) / math.log1p(self.widest) - 1.0
        angle = np.arccos(correlation) * 4.0 / math.pi - 1.0
        scale = _rise(score_sd)
        own = np.exp(chebyshev.chebval(spread, self.own) * scale) / self.tokens
        cross = np.exp(chebyshev.chebval2d(spread, angle, self.cross) * scale * correlation) / self.tokens
        return np.minimum(own, 1.0), np.minimum(cross, own)


def finite_length(
    tokens: int, *, widest: float = FROZEN, spreads: int = _SPREADS, angles: int = _ANGLES
) -> FiniteLength:
    """The table for rows of `tokens` keys, fitted for score spreads up to `widest` (about a second of work)."""
    nodes = chebyshev.chebpts1(spreads)
    at = np.expm1((nodes + 1.0) / 2.0 * math.log1p(widest))
    turns = chebyshev.chebpts1(angles)
    correlations = np.cos((turns + 1.0) * math.pi / 4.0)
    own = np.array([math.log(tokens * own_overlap(s, tokens)) for s in at])
    cross = np.array([[math.log(tokens * cross_overlap(s, c, tokens)) / c for c in correlations] for s in at])
    rise = _rise(at)
    across = _fit(nodes, cross / rise[:, None])
    return FiniteLength(tokens, widest, _fit(nodes, own / rise), _fit(turns, across.T).T)


@dataclass(frozen=True, slots=True)
class InfiniteLength:
    """The paper's T -> infinity overlaps (random energy model) with the freezing point of `tokens` keys.

    Y2 = max(0, 1 - beta_c / beta), Y12 = 0 (Giorlandino and Goldt 2025, arXiv 2505.24333). Kept to compare with:
    at T = 512 it misses similarities by up to 0.5 per sublayer.
    """

    tokens: int

    def __call__(self, score_sd: Array, correlation: Array) -> Overlaps:
        """Y2 and Y12 at each cell; wide layers have no pull."""
        frozen = math.sqrt(2.0 * math.log(self.tokens)) / np.maximum(score_sd, 1e-300)
        own = np.maximum(0.0, 1.0 - frozen) + 0.0 * correlation
        return Overlaps(own, np.zeros_like(own), np.zeros_like(own))


def _rise(score_sd: Array) -> Array:
    """h(s) = s^2 / (1 + s^2)."""
    rise: Array = score_sd**2 / (1.0 + score_sd**2)
    return rise


def _fit(nodes: Array, values: Array) -> Array:
    """Chebyshev coefficients of `values` [node, ...] at as many nodes."""
    found: Array = chebyshev.chebfit(nodes, values, nodes.size - 1).astype(np.float64)
    return found
