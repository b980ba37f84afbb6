"""What attention and the MLP of a random block make of the tokens they are fed."""

from typing import NamedTuple

import numpy as np

from audit.theory.activations import second_moments
from audit.theory.architecture import Architecture
from audit.theory.overlaps import Overlaps
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping
from audit.theory.states import Dials, State

_SLOPE = 1e-3  # of a correlation
# E Var^2 / (E Var)^2 over hidden neurons is 1 + this times rho, from integrals of ReLU and GELU and of gated SiLU: what
# the tokens share switches some neurons off for all of them
_UNEVEN, _UNEVEN_GATED = 1.0, 3.6


class Branch(NamedTuple):
    """What a sublayer adds to the residual."""

    added: State
    linear: Array  # share of its spread over tokens that is linear in the very token it is added to


class ScoreLaw(NamedTuple):
    """Scores of the rows of attention."""

    spread: Array  # s, of a row about its common part, [position, ...]
    correlation: Array  # of the scores of two rows, [position, position, ...]


class _Seen(NamedTuple):
    """The keys of a row, on average."""

    energy: Array  # [position, ...]
    overlap: Array  # of a key of one row and a key of another, [position, position, ...]

    @property
    def spread(self) -> Array:
        """What the keys of a row do not share, [position, ...]."""
        return self.energy - _diagonal(self.overlap)


def attention_branch(
    architecture: Architecture, gains: Dials, before: State, overlaps: Overlapping
) -> Branch:
    """What self-attention adds to the residual."""
    branch = attention_output(architecture, gains, before, overlaps)
    return branch._replace(added=_branch_norm(architecture, branch.added))


def attention_output(
    architecture: Architecture, gains: Dials, before: State, overlaps: Overlapping
) -> Branch:
    """What leaves W_O (W_V where there is none).

    q_att = p + (q - p)(Y2 + tilt) and p_att = p + (q - p)(Y12 + c tilt). The tilt pi s^2 (1 - Y2)^2 / d, which wide
    layers lack, is the pull of a row's keys towards its query: keys with large scores share a direction.
    """
    x = sublayer_input(architecture, before)
    law = score_law(architecture, gains, x, overlaps)
    found = overlaps.rows(law.spread, law.correlation)
    tilt = x.uneven * found.pull / architecture.width
    linear = _attention_linear(overlaps, law, found, tilt[-1])
    energies, shared = _mixed(architecture, _seen(x, overlaps), found, tilt, law.correlation)
    out = State(energies, shared, _attention_unevenness(architecture, x.uneven, linear))
    out = linear_layer(out, gains.value, gains.bias)
    if architecture.output_projection:
        out = linear_layer(out, gains.output, gains.bias)
        out = out._replace(uneven=out.uneven + 1.0)
    return Branch(out, linear)


def mlp_branch(architecture: Architecture, gains: Dials, before: State) -> Branch:
    """What the MLP adds to the residual."""
    branch = mlp_output(architecture, gains, before)
    return branch._replace(added=_branch_norm(architecture, branch.added))


def mlp_output(architecture: Architecture, gains: Dials, before: State) -> Branch:
    """What leaves the second matrix of the MLP."""
    x = sublayer_input(architecture, before)
    up = linear_layer(x, gains.mlp_in, gains.bias)
    gate = linear_layer(x, gains.mlp_gate, gains.bias) if architecture.gated else up
    sizes = np.maximum(np.sqrt(gate.energies[:, None] * gate.energies[None, :]), 1e-300)
    here = second_moments(architecture.activation, sizes, gate.overlaps / sizes)
    hidden = State(_diagonal(here.own), here.cross, x.uneven)
    if architecture.gated:
        hidden = State(hidden.energies * up.energies, hidden.overlaps * up.overlaps, x.uneven)
    first, second = _mlp_linear(architecture, gate, up, hidden)
    neurons = 1.0 + (_UNEVEN_GATED if architecture.gated else _UNEVEN) * x.similarity
    uneven = (first**2 + second**2) * x.uneven + neurons * architecture.width / architecture.mlp_width + 1.0
    return Branch(linear_layer(hidden._replace(uneven=uneven), gains.mlp_out, gains.bias), first + second)


def score_law(architecture: Architecture, gains: Dials, x: State, overlaps: Overlapping) -> ScoreLaw:
    """The scores of tokens x entering W_Q and W_K.

    s^2 = sigma_a^2 q (q - p); a bias of W_Q adds to the query only, and normalised queries and keys leave
    s^2 = sigma_a^2 (1 - rho).
    """
    seen = _seen(x, overlaps)
    if architecture.qk_norm:
        x = x.scaled(1.0 / np.maximum(x.energies, 1e-300))
        left = seen.spread / np.maximum(seen.energy, 1e-300)
        return ScoreLaw(gains.score_sd * np.sqrt(np.maximum(left, 0.0)), x.overlaps)
    queries = x.energies + gains.query_bias
    spread = gains.score_sd * np.sqrt(np.maximum(queries * seen.spread, 0.0))
    sizes = np.sqrt(queries[:, None] * queries[None, :])
    return ScoreLaw(spread, (x.overlaps + gains.query_bias) / np.maximum(sizes, 1e-300))


def sublayer_input(architecture: Architecture, before: State) -> State:
    """What a sublayer sees of the residual: all of it, or what a norm leaves."""
    return (
        normalised(before, architecture.norm_eps) if architecture.placement in {"pre", "sandwich"} else before
    )


def normalised(x: State, eps: float) -> State:
    """LayerNorm or RMSNorm without learned gain: (q, p) -> (q, p) / (q + eps)."""
    return x.scaled(1.0 / np.maximum(x.energies + eps, 1e-300))


def linear_layer(x: State, gain: Array, bias: Array) -> State:
    """What a random linear layer makes of tokens."""
    return State(gain * x.energies + bias, gain * x.overlaps + bias, x.uneven)


def _seen(x: State, overlaps: Overlapping) -> _Seen:
    """Averages over the keys of a row; of the late tokens alone where the state has one position."""
    if len(x.energies) == 1:
        return _Seen(x.energies, x.overlaps)
    weights = overlaps.averages
    energy = np.tensordot(weights, x.energies, axes=(1, 0))
    pairs = np.tensordot(weights, np.tensordot(weights, x.overlaps, axes=(1, 1)), axes=(1, 1))
    return _Seen(energy, pairs)


def _mixed(
    architecture: Architecture, seen: _Seen, found: Overlaps, tilt: Array, correlation: Array
) -> tuple[Array, Array]:
    """Energies and overlaps of attention-weighted tokens."""
    even, kept = (1.0 / architecture.tokens, 0.0) if architecture.centred else (0.0, 1.0)
    alone, both = np.maximum(found.own + tilt - even, 0.0), found.cross - even
    both = np.maximum(both + correlation * np.sqrt(tilt[:, None] * tilt[None, :]), 0.0)
    shorter = np.minimum(*np.indices(seen.overlap.shape[:2]))
    energies = kept * _diagonal(seen.overlap) + seen.spread * alone
    return energies, kept * seen.overlap + np.maximum(seen.energy[shorter] - seen.overlap, 0.0) * both


def _attention_linear(overlaps: Overlapping, law: ScoreLaw, found: Overlaps, tilt: Array) -> Array:
    """Share of what attention adds to the spread over late tokens that is linear in the query."""
    correlation = np.clip(law.correlation[-1:, -1:], 0.0, 1.0)
    other = np.where(correlation < 0.5, correlation + 0.01, correlation - 0.01)
    moved = overlaps.rows(law.spread[-1:], other).cross[0, 0]
    own, cross, correlation = found.own[-1], found.cross[-1, -1], correlation[0, 0]
    rise = (1.0 - correlation) * np.abs(cross - moved) / 0.01
    pull = (1.0 - correlation) * tilt
    share: Array = np.clip((rise + pull) / np.maximum(own - cross + pull, 1e-300), 0.0, 1.0)
    return share


def _attention_unevenness(architecture: Architecture, uneven: Array, linear: Array) -> Array:
    """Anisotropy of the heads' outputs: random maps of low rank in a row, heads that share their tokens."""
    heads, ratio = architecture.heads, architecture.width / architecture.tokens
    straight = uneven + (uneven + 1.0 + ratio) / heads + 2.0
    bent = (uneven + ratio) / heads + 1.0
    return linear**2 * straight + (1.0 - linear**2) * bent


def _mlp_linear(architecture: Architecture, gate: State, up: State, hidden: State) -> tuple[Array, Array]:
    """Shares of the hidden spread of late tokens that are linear in the token, through the gate and through W_1.

    By Price's theorem the derivative of E phi(u) phi(v) by the covariance is E phi'(u) phi'(v), the linear part.
    """
    alike = gate.p / np.maximum(gate.q, 1e-300)
    here = second_moments(architecture.activation, gate.q, alike)
    below = second_moments(architecture.activation, gate.q, alike - _SLOPE)
    first, second = (1.0 - alike) * (here.cross - below.cross) / _SLOPE, np.zeros_like(alike)
    if architecture.gated:
        first, second = first * up.p, here.cross * (up.q - up.p)
    spread = np.maximum(hidden.q - hidden.p, 1e-300)
    return np.clip(first / spread, 0.0, 1.0), np.clip(second / spread, 0.0, 1.0)


def _branch_norm(architecture: Architecture, branch: State) -> State:
    inside = architecture.placement in {"sandwich", "branch"}
    return normalised(branch, architecture.norm_eps) if inside else branch


def _diagonal(pairs: Array) -> Array:
    """[position, position, ...] at equal positions, [position, ...]."""
    every = np.arange(len(pairs))
    found: Array = pairs[every, every]
    return found
