"""Overlap, entropy and spread of the attention rows of random transformers, at finite length, without sampling."""

import math
from typing import NamedTuple

import numpy as np

from audit.theory.quadrature import Array, Row, damped, pair, row, times

FROZEN = 12.0  # score spread from which 1 - Y2, entropy and spreads are taken to fall as 1/s, as they do
NARROWEST = (
    0.02  # radians between the scores of two rows; closer ones are interpolated from here to equal rows
)


class Overlaps(NamedTuple):
    """Expected overlaps of attention rows; 1/T is even attention."""

    own: Array  # Y2 = E sum_j A_j^2
    cross: Array  # Y12 = E sum_j A_j B_j
    pull: Array  # (E sum_j A_j x_j)^2 = s^2 (1 - Y2)^2, how far the keys attended to lean towards the query


class RowMoments(NamedTuple):
    """What two rows share, and the spread of the keys they attend to, which is what reaches W_Q and W_K backwards."""

    own: float  # Y2
    cross: float  # Y12
    own_spread: float  # F = E[Y2 + Y2^2 - 2 sum A^3]
    cross_spread: float  # F12 = E[Y12 + Y12^2 - sum A^2 B - sum A B^2]


def own_overlap(score_sd: float, tokens: int) -> float:
    """Y2, the expected sum of squared attention weights of a row: 1/T for even attention, 1 on one key.

    Args:
        score_sd: standard deviation s of the scores of a row about their common part.
        tokens: number T of keys the row sees, at least 2.
    """
    return 1.0 - (1.0 - _row(score_sd, tokens).power_sum(2)) * _beyond(score_sd)


def cross_overlap(score_sd: float, correlation: float, tokens: int) -> float:
    """Y12, the expected sum of products of the weights of two rows whose scores correlate by `correlation`.

    Equal to Y2 at correlation 1 and to 1/T at 0; `correlation` lies in [0, 1].
    """
    angle = _angle(correlation)
    found = pair(min(score_sd, FROZEN), max(angle, NARROWEST), tokens).products(1, 1)
    if score_sd > FROZEN:
        found *= math.sqrt(
            own_overlap(score_sd, tokens) / own_overlap(FROZEN, tokens)
        )  # within .03 at s = 30
    return found if angle >= NARROWEST else _between(own_overlap(score_sd, tokens), found, angle)


def row_entropy(score_sd: float, tokens: int) -> float:
    """Expected Shannon entropy H(s, T) of a row, nats; log T - s^2/2 for long rows below freezing."""
    nodes = _row(score_sd, tokens)
    log_sum = np.sum(np.exp(-np.exp(nodes.levels)) - nodes.alive(tokens)) * nodes.step
    weighted = times(damped(nodes.exponents, 1), nodes.weights * nodes.energies * min(score_sd, FROZEN))
    energy = tokens * np.sum(weighted * nodes.alive(tokens - 1)) * nodes.step
    return max(0.0, float(log_sum - energy)) * _beyond(score_sd)


def row_moments(score_sd: float, correlation: float, tokens: int) -> RowMoments:
    """Overlaps and spreads of two rows whose scores correlate; both spreads are 0 for rows on one key."""
    nodes, left = _row(score_sd, tokens), _beyond(score_sd)
    own = 1.0 - (1.0 - nodes.power_sum(2)) * left
    own_spread = (nodes.power_sum(2) + nodes.squared_overlap() - 2.0 * nodes.power_sum(3)) * left
    angle = _angle(correlation)
    both = pair(min(score_sd, FROZEN), max(angle, NARROWEST), tokens)
    cross = cross_overlap(score_sd, correlation, tokens)
    cross_spread = (both.products(1, 1) + both.squared_overlap() - 2.0 * both.products(2, 1)) * left
    return RowMoments(own, cross, own_spread, _between(own_spread, cross_spread, angle))


def _row(score_sd: float, tokens: int) -> Row:
    return row(min(score_sd, FROZEN), tokens)


def _beyond(score_sd: float) -> float:
    """What is left, at larger spreads, of quantities that vanish as attention freezes."""
    return min(1.0, FROZEN / max(score_sd, 1e-300))


def _angle(correlation: float) -> float:
    return math.acos(min(1.0, max(0.0, correlation)))


def _between(own: float, near: float, angle: float) -> float:
    """From the value of equal rows to that at NARROWEST; even in the angle, so the square is the leading order."""
    return own + (near - own) * min(1.0, angle / NARROWEST) ** 2 if angle < NARROWEST else near
