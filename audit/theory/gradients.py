"""The gradient that reaches W_Q of a random attention layer, and how rank collapse takes it away."""

from typing import NamedTuple

from audit.theory.overlaps import row_moments

_STEP = 0.02  # of a correlation, for slopes


class QueryGradient(NamedTuple):
    """E||dL/dW_Q||_F^2 and its two parts; all in units of the loss squared."""

    total: float
    own: float  # each token with itself
    shared: float  # pairs of tokens whose gradients are alike: the larger part once c_g is not tiny


def query_gradient(
    *,
    q: float,
    p: float,
    score_sd: float,
    tokens: int,
    width: int,
    key_gain: float,
    value_gain: float,
    gradient: float = 1.0,
    gradient_similarity: float = 0.0,
    score_similarity: float | None = None,
    anisotropy: float = 1.0,
) -> QueryGradient:
    """Expected squared Frobenius norm of dL/dW_Q for one sequence, all heads together.

    E||dL/dW_Q||^2 = d |g|^2 s_V s_K (q-p)^2 {T q G + T(T-1) c_g [p G12 + pi q (1 - rho^2)/d dG12/dc]} with
    G = F + pi (1-Y2)/d and G12 = F12 + pi (1-Y12)/d. The factor (q-p)^2 makes it vanish with rank collapse (as in
    Noci et al. 2022, arXiv 2206.03126). The last term comes from the scatter of x_i.x_k/d about p, of which the
    rows' overlap takes notice: without it the shared gradient of unlike tokens (rho = 0) is 25% short.

    Args:
        q: energy per channel of the tokens entering W_Q (1 behind a norm).
        p: overlap of two of them.
        score_sd: spread s of the scores of a row about their common part.
        tokens: T.
        width: d.
        key_gain: s_K = d Var(W_K).
        value_gain: s_V = d Var(W_V).
        gradient: |g|^2, mean over tokens of the squared norm of dL/dy, y being the output of the heads (before W_O).
        gradient_similarity: c_g = E g_i.g_k / |g|^2 of two tokens; an input, to be measured or bracketed by 0 and 1.
        score_similarity: correlation of the scores of two rows where it is not p/q.
        anisotropy: pi = d tr(S^2) / (tr S)^2 of the tokens' covariance S about their common part.
    """
    correlation = p / q if score_similarity is None else score_similarity
    room = _room(score_sd, correlation, tokens, width / anisotropy)
    common = width * gradient * value_gain * key_gain * (q - p) ** 2
    own = common * tokens * q * room.own
    scatter = q * (1.0 - (p / q) ** 2) * anisotropy / width
    scatter *= _slope(score_sd, correlation, tokens, width / anisotropy)
    shared = common * tokens * (tokens - 1) * gradient_similarity * (p * room.cross + scatter)
    return QueryGradient(own + shared, own, shared)


class _Room(NamedTuple):
    """E tr(C_i C_k) / (d (q-p))^2, C_i being the covariance of the keys weighted by row i."""

    own: float  # G = F + (1-Y2)/d
    cross: float  # G12 = F12 + (1-Y12)/d


def _room(score_sd: float, correlation: float, tokens: int, width: float) -> _Room:
    found = row_moments(score_sd, correlation, tokens)
    own = found.own_spread + (1.0 - found.own) / width
    return _Room(own, found.cross_spread + (1.0 - found.cross) / width)


def _slope(score_sd: float, correlation: float, tokens: int, width: float) -> float:
    """dG12/dc."""
    low, high = max(0.0, correlation - _STEP), min(1.0, correlation + _STEP)
    rise = _room(score_sd, high, tokens, width).cross - _room(score_sd, low, tokens, width).cross
    return rise / (high - low)
