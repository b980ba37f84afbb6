"""What the map carries from block to block: energy, overlap and evenness of the tokens, and the gains of a block."""

import math
from typing import NamedTuple

import numpy as np

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.quadrature import Array


class State(NamedTuple):
    """Tokens between two sublayers, at one position or more; trailing axes are models.

    Without a mask all tokens are alike and there is one position. Under a causal mask early tokens see few keys, so
    the stack is followed at some positions [position, ...], the last of which stands for the late tokens.
    """

    energies: Array  # [position, ...], E|x_i|^2/d
    overlaps: Array  # [position, position, ...], E x_i.x_k/d of two different tokens
    uneven: Array  # pi = d tr(S^2) / (tr S)^2 of the late tokens' covariance S about their common part; 1 = isotropic

    @property
    def q(self) -> Array:
        """Energy of a late token."""
        late: Array = self.energies[-1]
        return late

    @property
    def p(self) -> Array:
        """Overlap of two late tokens."""
        late: Array = self.overlaps[-1, -1]
        return late

    @property
    def similarity(self) -> Array:
        """Cosine rho = p/q of two late tokens."""
        return np.minimum(self.p / np.maximum(self.q, 1e-300), 1.0)

    @property
    def late(self) -> "State":
        """The late tokens alone, as if all were like them."""
        return State(self.energies[-1:], self.overlaps[-1:, -1:], self.uneven)

    def scaled(self, factor: Array) -> "State":
        """Tokens whose energies are multiplied by `factor` [position, ...]."""
        pairs = np.sqrt(factor[:, None] * factor[None, :])
        return State(self.energies * factor, self.overlaps * pairs, self.uneven)


def tokens_of(q: Array | float, p: Array | float, uneven: Array | float = 1.0) -> State:
    """Tokens that are all alike, with energy q and overlap p."""
    q, p, uneven = np.broadcast_arrays(np.asarray(q, np.float64), np.asarray(p, np.float64), uneven)
    return State(q[None], p[None, None], np.asarray(uneven, np.float64))


class Dials(NamedTuple):
    """Gains of a block: fan-in-normalised variances n_in Var(W), skip scales, bias variance."""

    score_sd: Array  # sigma_a = sd(W_Q) sd(W_K) d, times sqrt(d_h) times the score scale
    query_bias: Array  # bias variance over the fan-in-normalised variance of W_Q
    value: Array
    output: Array
    mlp_in: Array
    mlp_gate: Array
    mlp_out: Array
    bias: Array
    skip_attention: Array
    skip_mlp: Array


def dials(architecture: Architecture, initialisation: Initialisation) -> Dials:
    """The gains of a configuration."""
    a, i = architecture, initialisation
    scale = a.score_scale if a.score_scale is not None else a.head_dim**-0.5
    raw = 1.0 if a.qk_norm else i.sd_query * i.sd_key * a.width
    gains = (
        raw * scale * math.sqrt(a.head_dim),
        i.bias_variance / max(a.width * i.sd_query**2, 1e-300),
        a.width * i.sd_value**2,
        a.heads * a.head_dim * i.sd_output**2,
        a.width * i.sd_mlp_in**2,
        a.width * i.sd_mlp_gate**2,
        a.mlp_width * i.sd_mlp_out**2,
        i.bias_variance,
        a.skip_attention,
        a.skip_mlp,
    )
    return Dials(*(np.asarray(gain, dtype=np.float64) for gain in gains))


def start(initialisation: Initialisation) -> State:
    """The tokens that enter the first block."""
    return tokens_of(initialisation.q0, initialisation.p0)


class Setting(NamedTuple):
    """Models to send through the map together: fields may be arrays."""

    gains: Dials
    first: State


def setting(architecture: Architecture, initialisation: Initialisation) -> Setting:
    """The model as it is."""
    return Setting(dials(architecture, initialisation), start(initialisation))
