"""The map run backwards: how large the gradient of a random read-out is in every block, and how alike over tokens.

Forward the map carries (q, p); backward it carries the same two numbers of the gradient, G = E|g_i|^2/d and
P = E g_i.g_k/d. Values hand it on by the overlaps of attention (the rows sum to 1, so what the tokens share is kept),
the scores add what reaches queries and keys, the MLP multiplies by E phi'(u) phi'(v), a norm divides by the energy
it took away. Derived for this project for bidirectional attention, and checked against simulation.
"""

from typing import NamedTuple

import numpy as np

from audit.theory.activations import Moments, second_moments
from audit.theory.architecture import Architecture
from audit.theory.overlaps import RowMoments, row_moments
from audit.theory.propagation import Trajectory, join
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping
from audit.theory.states import Dials, State
from audit.theory.sublayers import (
    Branch,
    attention_branch,
    attention_output,
    linear_layer,
    mlp_branch,
    mlp_output,
    score_law,
    sublayer_input,
)

_SLOPE = 1e-3  # of a correlation
_BLOCKS = 12  # at most so many blocks are integrated; the rest lies on a smooth curve between them


class Gradient(NamedTuple):
    """Of the loss towards tokens, per channel."""

    own: float  # G
    shared: float  # P

    @property
    def alike(self) -> float:
        """Likeness c_g of the gradients of two tokens."""
        return self.shared / self.own if self.own else 0.0

    def times(self, own: float, shared: float) -> "Gradient":
        """Through something that multiplies both."""
        return Gradient(self.own * own, self.shared * shared)

    def plus(self, other: "Gradient") -> "Gradient":
        """Of two paths with weights of their own."""
        return Gradient(self.own + other.own, self.shared + other.shared)


class Backward(NamedTuple):
    """Gradients of a read-out, from the input upwards."""

    stream: tuple[Gradient, ...]  # towards the tokens at the input and after every block, depth + 1
    heads: tuple[Gradient, ...]  # towards the output of the heads (before W_O) of every block, depth


class _Stack(NamedTuple):
    architecture: Architecture
    gains: Dials
    overlaps: Overlapping


def backward(
    architecture: Architecture,
    gains: Dials,
    path: Trajectory,
    overlaps: Overlapping,
    *,
    moments: tuple[RowMoments, ...],
    alike: float = 0.0,
) -> Backward:
    """Gradients of a read-out of the last block with unit gradient per channel there.

    Args:
        architecture: of the stack.
        gains: its dials, without extra axes.
        path: what went forward.
        overlaps: as in the forward pass.
        moments: of the attention rows of every block, from `block_moments`.
        alike: likeness of the read-out's gradients: 0 is a loss of every token on its own (language models), 1 one
            of the mean token (a pooled encoder).
    """
    stack, now = _Stack(architecture, gains, overlaps), Gradient(1.0, alike)
    stream, heads = [now], []
    for before, rows in zip(path.states[-2::-1], reversed(moments), strict=True):
        now, seen = _through_block(stack, before, rows, now)
        stream.append(now)
        heads.append(seen)
    return Backward(tuple(reversed(stream)), tuple(reversed(heads)))


def block_moments(
    architecture: Architecture, gains: Dials, path: Trajectory, overlaps: Overlapping
) -> tuple[RowMoments, ...]:
    """Overlaps and spreads of the attention rows of every block."""
    entering = [sublayer_input(architecture, each) for each in path.states[:-1]]
    laws = [score_law(architecture, gains, x, overlaps) for x in entering]
    blocks = np.unique(np.linspace(0, architecture.depth - 1, _BLOCKS).astype(np.int64))
    at = [
        row_moments(float(laws[b].spread[-1]), float(laws[b].correlation[-1, -1]), architecture.tokens)
        for b in blocks
    ]
    every, logs = np.arange(architecture.depth), np.log(np.maximum(at, 1e-300))
    fields = [np.exp(np.interp(every, blocks, column)) for column in logs.T]
    return tuple(RowMoments(*row) for row in np.stack(fields, axis=1).tolist())


def _through_block(
    stack: _Stack, state: State, rows: RowMoments, after: Gradient
) -> tuple[Gradient, Gradient]:
    """Gradients towards the tokens before a block and towards the output of its heads."""
    a, gains = stack.architecture, stack.gains
    attended = attention_branch(a, gains, state, stack.overlaps)
    parallel = Gradient(0.0, 0.0)
    if a.parallel and a.mlp_width:
        parallel = _back_mlp(stack, state, after)
    elif a.mlp_width:
        middle = join(a, attended, state, gains.skip_attention)
        after = _back_norm(a, mlp_branch(a, gains, middle), middle, gains.skip_mlp, after)
        after = _kept(after, gains.skip_mlp).plus(_back_mlp(stack, middle, after))
    after = _back_norm(a, attended, state, gains.skip_attention, after)
    into, heads = _back_attention(stack, state, rows, after)
    return _kept(after, gains.skip_attention).plus(into).plus(parallel), heads


def _back_attention(
    stack: _Stack, state: State, rows: RowMoments, after: Gradient
) -> tuple[Gradient, Gradient]:
    """Through values, queries and keys; and the gradient at the output of the heads."""
    a, gains, x = stack.architecture, stack.gains, sublayer_input(stack.architecture, state)
    heads = _scaled(after, 1.0 / _branch_energy(a, attention_output(a, gains, state, stack.overlaps).added))
    heads = _scaled(heads, float(gains.output)) if a.output_projection else heads
    q, p, others = float(x.q), float(x.p), a.tokens - 1
    own = rows.own * heads.own + others * rows.cross * heads.shared
    values = Gradient(own, (heads.own + others * heads.shared - own) / others)
    queries = heads.times((q - p) * rows.own_spread, (q - p) * rows.cross_spread)
    keys = Gradient(q * rows.own_spread * heads.own + p * others * rows.cross_spread * heads.shared, 0.0)
    score = float(gains.score_sd) ** 2 * (q - p) / (q * q if a.qk_norm else 1.0)
    into = values.plus(_scaled(queries.plus(keys), score))
    return _scaled(into, float(gains.value) / _entry_energy(a, state)), heads


def _back_mlp(stack: _Stack, state: State, after: Gradient) -> Gradient:
    """Through both matrices and the activation between them."""
    a, gains, x = stack.architecture, stack.gains, sublayer_input(stack.architecture, state)
    up = linear_layer(x, gains.mlp_in, gains.bias)
    gate = linear_layer(x, gains.mlp_gate, gains.bias) if a.gated else up
    alike = gate.p / np.maximum(gate.q, 1e-300)
    values, own, shared = _slopes(a.activation, gate.q, alike)
    if a.gated:
        own = gains.mlp_gate * own * up.q + gains.mlp_in * values.own
        shared = gains.mlp_gate * shared * up.p + gains.mlp_in * values.cross
    else:
        own, shared = gains.mlp_in * own, gains.mlp_in * shared
    out = (
        float(gains.mlp_out) / _entry_energy(a, state) / _branch_energy(a, mlp_output(a, gains, state).added)
    )
    return after.times(out * float(own), out * float(shared))


def _slopes(activation: str, variance: Array, alike: Array) -> tuple[Moments, Array, Array]:
    """E phi(u) phi(v), and E phi'(u) phi'(v) for a token with itself and for two (Price's theorem)."""
    here = second_moments(activation, variance, alike)
    below = second_moments(activation, variance, alike - _SLOPE)
    same = second_moments(activation, variance, np.ones_like(alike) - _SLOPE)
    step = _SLOPE * np.maximum(variance, 1e-300)
    return here, (here.own - same.cross) / step, (here.cross - below.cross) / step


def _back_norm(
    architecture: Architecture, branch: Branch, skip: State, alpha: Array, after: Gradient
) -> Gradient:
    """Through the norm behind a sum, in post-LN."""
    if architecture.placement != "post":
        return after
    return _scaled(after, 1.0 / float(branch.added.q + alpha**2 * skip.q + architecture.norm_eps))


def _kept(after: Gradient, alpha: Array) -> Gradient:
    return _scaled(after, float(alpha) ** 2)


def _scaled(gradient: Gradient, factor: float) -> Gradient:
    return gradient.times(factor, factor)


def _entry_energy(architecture: Architecture, state: State) -> float:
    """What the norm before a sublayer divides by."""
    return float(state.q) + architecture.norm_eps if architecture.placement in {"pre", "sandwich"} else 1.0


def _branch_energy(architecture: Architecture, raw: State) -> float:
    """What the norm behind a sublayer, before the sum, divides by."""
    inside = architecture.placement in {"branch", "sandwich"}
    return max(float(raw.q) + architecture.norm_eps, 1e-300) if inside else 1.0
