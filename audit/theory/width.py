"""Rank collapse in width: the spectral gap of a random attention pattern, its nulls, and what removing the gap does.

After Nait Saada, Naderi and Tanner 2025 (arXiv 2410.07799): a row-stochastic matrix has one outlying singular value,
s_1 -> 1, over a bulk that ends at s_2 -> 2 sigma_A / sqrt(T); one layer after the other it leaves sr - 1 ~ T^(1 - 2l)
of the stable rank of the tokens. Their remedy takes the outlier out: A - 11^T/T.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.theory.quadrature import Array
from audit.theory.states import State

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralNull:
    """Singular values of random softmax patterns under one mask, one entry per draw."""

    first: Array  # s_1 of A
    second: Array  # s_2 of A
    first_structure: Array  # s_1 of A - U, U the masked-uniform pattern
    second_structure: Array  # s_2 of A - U

    def upper(self, name: str, share: float = 0.95) -> float:
        """The value below which `share` of the draws of that field lie."""
        return float(np.quantile(getattr(self, name), share))


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


def masked_uniform(seen: Mask) -> Array:
    """The pattern U with even attention on what each row may see, [query, key]; rows that see nothing are 0."""
    keys = seen.sum(-1, keepdims=True)
    even: Array = seen / np.maximum(keys, 1)
    return even


def causal(tokens: int) -> Mask:
    """The mask of a decoder, [query, key]."""
    return np.tri(tokens, dtype=np.bool_)


def random_pattern(seen: Mask, score_sd: Array | float, rng: np.random.Generator) -> Array:
    """Softmax over independent Gaussian scores of that spread (one number, or one per row) under a mask."""
    spread = np.broadcast_to(np.asarray(score_sd, np.float64), seen.shape[:1])[:, None]
    weights = np.exp(spread * rng.standard_normal(seen.shape)) * seen
    pattern: Array = weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    return pattern


def same_mask_null(seen: Mask, score_sd: Array | float, *, draws: int = 20, seed: int = 0) -> SpectralNull:
    """Singular values of `draws` random patterns under the mask of a measured one, with its own score spread.

    The mask alone moves the spectrum (uniform causal attention has s_1 = 1.7 and s_2 > 1 at T = 256), so a measured
    pattern is judged against these, never against s_1 = 1.
    """
    rng, uniform = np.random.default_rng(seed), masked_uniform(seen)
    rows = np.empty((draws, 4))
    for draw in range(draws):
        pattern = random_pattern(seen, score_sd, rng)
        rows[draw] = [*_leading(pattern), *_leading(pattern - uniform)]
    return SpectralNull(
        first=rows[:, 0], second=rows[:, 1], first_structure=rows[:, 2], second_structure=rows[:, 3]
    )


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
    rng, seen = np.random.default_rng(seed), np.ones((tokens, tokens), np.bool_)
    x = np.linalg.qr(rng.standard_normal((width, tokens)))[0].T
    found = []
    for _ in range(layers):
        x = (random_pattern(seen, score_sd, rng) - taken) @ x @ rng.standard_normal((width, width))
        x /= np.linalg.norm(x)
        found.append(stable_rank(x))
    return np.array(found)


def _leading(matrix: Array) -> Array:
    """The two largest singular values."""
    values: Array = np.linalg.svd(matrix, compute_uv=False).astype(np.float64)
    return values[:2]
