"""Rank collapse in width: the spectral gap of a random attention pattern, and what removing it does.

After Nait Saada, Naderi and Tanner 2025 (arXiv 2410.07799): a row-stochastic matrix has one outlying singular value,
s_1 -> 1, over a bulk that ends at s_2 -> 2 sigma_A / sqrt(T); one layer after the other it leaves sr - 1 ~ T^(1 - 2l)
of the stable rank of the tokens. Their remedy takes the outlier out: A - 11^T/T.
"""

import math
from typing import NamedTuple

import numpy as np

from audit.theory.quadrature import Array
from audit.theory.states import State


class Ranks(NamedTuple):
    """Stable rank of the tokens' Gram matrix after each layer, [layer], with the outlier and without it."""

    before: Array
    after: Array


def pattern_spread(score_sd: float) -> float:
    """sigma_A, standard deviation of exp(scores) over its mean: sigma_A^2 = exp(s^2) - 1."""
    return math.sqrt(math.expm1(score_sd**2))


def second_singular_value(score_sd: float, tokens: int) -> float:
    """s_2 -> 2 sigma_A / sqrt(T) of a bidirectional random pattern with score spread s (long rows, below freezing)."""
    return 2.0 * pattern_spread(score_sd) / math.sqrt(tokens)


def random_pattern(tokens: int, score_sd: float, rng: np.random.Generator) -> Array:
    """Softmax over independent Gaussian scores of that spread, [query, key]."""
    weights = np.exp(score_sd * rng.standard_normal((tokens, tokens)))
    found: Array = weights / weights.sum(-1, keepdims=True)
    return found


def stable_rank(tokens: Array) -> float:
    """Stable rank ||S||_F^2 / ||S||_2^2 of the Gram matrix S = X X^T of tokens X [token, channel]."""
    gram = tokens @ tokens.T if tokens.shape[0] <= tokens.shape[1] else tokens.T @ tokens
    values = np.linalg.eigvalsh(gram)
    return float((values**2).sum() / values[-1] ** 2)


def expected_stable_rank(state: State, tokens: int, width: int) -> Array:
    """Stable rank of the Gram matrix of T random tokens with energy q and overlap p.

    A spiked covariance: with theta = T p / (q - p) and gamma = T/d the common direction stands out of the bulk once
    theta > sqrt(gamma), at (q - p)(1 + theta)(1 + gamma / theta) (Baik, Ben Arous and Peche 2005).
    """
    gap, gamma = np.maximum(state.q - state.p, 1e-12 * state.q), tokens / width
    theta = np.maximum(
        tokens * state.p / gap, math.sqrt(gamma)
    )  # at sqrt(gamma) the outlier is the bulk's edge
    largest = (1.0 + theta) * (1.0 + gamma / theta)
    found: Array = 1.0 + (tokens - 1) * (1.0 + gamma) / largest**2
    return found


def attention_only_ranks(
    tokens: int, layers: int, score_sd: float, *, width: int | None = None, seed: int = 0
) -> Ranks:
    """Stable rank of the tokens after each of `layers` random attention layers, before and after the remedy.

    The published setting: X_0 of orthonormal rows, X <- A X W_V, a new A and W_V each layer, no skip and no MLP.

    Args:
        tokens: T; the cost is layers x T^3.
        layers: number of layers.
        score_sd: spread of the scores; sqrt(log 2) gives sigma_A = 1.
        width: d, at least T (T where not given).
        seed: of the weights; both sides see the same.
    """
    width = width or tokens
    return Ranks(
        *(_ranks((tokens, width), layers, score_sd, taken=taken, seed=seed) for taken in (0.0, 1.0 / tokens))
    )


def _ranks(shape: tuple[int, int], layers: int, score_sd: float, *, taken: float, seed: int) -> Array:
    """Stable ranks where `taken` is subtracted from every weight of the patterns."""
    tokens, width = shape
    rng = np.random.default_rng(seed)
    x = np.linalg.qr(rng.standard_normal((width, tokens)))[0].T
    found = []
    for _ in range(layers):
        x = (random_pattern(tokens, score_sd, rng) - taken) @ x @ rng.standard_normal((width, width))
        x /= np.linalg.norm(x)
        found.append(stable_rank(x))
    return np.array(found)
