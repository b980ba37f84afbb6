"""The three phases of a random transformer, and the closed forms for where they meet."""

import math

import numpy as np
from numpy.typing import NDArray

from audit.theory.quadrature import Array

COLLAPSED = 0.01  # 1 - rho at the last block below this is rank collapse (a convention of this project)


def inverse_temperature(score_sd: Array | float, tokens: int) -> Array:
    """Inverse temperature beta = sigma_a / sqrt(log T) of scores with standard deviation sigma_a at unit tokens."""
    return np.asarray(score_sd, np.float64) / math.sqrt(math.log(tokens))


def score_spread(beta: Array | float, tokens: int) -> Array:
    """sigma_a = beta sqrt(log T), the score spread at inverse temperature beta."""
    return np.asarray(beta, np.float64) * math.sqrt(math.log(tokens))


def critical_inverse_temperature(q: Array | float, p: Array | float) -> Array:
    """beta_c = sqrt(2 / (q (q - p))): above it attention freezes on few keys; infinite for equal tokens.

    Giorlandino and Goldt 2025, random energy model; at finite T freezing is a smooth crossover around it.
    """
    q, p = np.asarray(q, np.float64), np.asarray(p, np.float64)
    room = q * (q - p)
    found: Array = np.sqrt(np.divide(2.0, room, out=np.full_like(room, np.inf), where=room > 0))
    return found


def freezing_ratio(score_sd: Array | float, keys: Array | float) -> Array:
    """How near to freezing rows of score spread s over n keys are: kappa = s / sqrt(2 log n), frozen above 1.

    Describes a trained pattern, too: nothing in it assumes random weights beyond Gaussian scores.
    """
    return np.asarray(score_sd, np.float64) / np.sqrt(2.0 * np.log(np.asarray(keys, np.float64)))


def critical_skip(value_gain: float, depth: int, *, first: float, last: float = 1.0 - COLLAPSED) -> float:
    """alpha_c, the skip strength at which similarity goes from `first` to `last` over `depth` post-LN blocks.

    Attention only, below freezing: each block multiplies the odds rho / (1 - rho) by 1 + v / alpha^2, so
    alpha_c^2 = v / ((odds_L / odds_0)^(1/L) - 1), which grows like sqrt(L). 0 where no skip is needed (v = 0);
    infinite where the tokens are that alike from the start. `first` must lie above 0.
    """
    growth = (_log_odds(last) - _log_odds(first)) / depth
    return math.sqrt(value_gain / math.expm1(growth)) if growth > 0 else math.inf


def odds_after(value_gain: float, skip: float, depth: int, *, first: float) -> float:
    """Similarity rho after `depth` attention-only post-LN blocks below freezing, by the same law."""
    odds = _log_odds(first) + depth * math.log1p(value_gain / skip**2)
    return 1.0 / (1.0 + math.exp(-odds))


def phases(beta: Array, *, q0: Array, p0: Array, last: Array) -> NDArray[np.str_]:
    """The phase of each cell: rank collapse where 1 - rho_L < .01, else entropy collapse above beta_c.

    Args:
        beta: inverse temperature at unit tokens.
        q0: energy of the tokens entering the first attention (after its norm).
        p0: their overlap.
        last: similarity rho_L after the last block.
    """
    frozen = beta > critical_inverse_temperature(q0, p0)
    collapsed = 1.0 - last < COLLAPSED
    return np.select([collapsed, frozen], ["rank collapse", "entropy collapse"], default="trainable")


def _log_odds(similarity: float) -> float:
    return math.log(similarity) - math.log1p(-similarity) if similarity < 1 else math.inf
