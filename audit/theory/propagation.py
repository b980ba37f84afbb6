"""The map through a stack: how energy and likeness of the tokens of a random transformer change block by block.

q = E|x_i|^2/d, p = E x_i.x_j/d for i != j, rho = p/q the token similarity: rho -> 1 is rank collapse. After Giorlandino
and Goldt 2025 (arXiv 2505.24333), closed at the real row length and width instead of their limits. All cells of a
diagram go through the depth together.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping, infinite_rows
from audit.theory.states import Dials, Setting, State, setting
from audit.theory.sublayers import Branch, attention_branch, mlp_branch, normalised

_FAR = 1e100  # beyond it a branch cannot matter any more and only p/q is kept
_RESOLVED = (
    64  # blocks of a causal stack that are followed at every position; later ones at the late tokens alone
)


class Trajectory(NamedTuple):
    """The stack from its input [0] to its last block [L]; trailing axes are those of the dials."""

    states: tuple[State, ...]

    @property
    def similarity(self) -> Array:
        """Token cosine rho at the input and after every block."""
        return np.stack([each.similarity for each in self.states])

    @property
    def energy(self) -> Array:
        """Energy q at the input and after every block."""
        return np.stack([each.q for each in self.states])


class Paths(NamedTuple):
    """One configuration under four maps."""

    architecture: Architecture
    initialisation: Initialisation
    setting: Setting
    overlaps: Overlapping
    finite: Trajectory
    infinite: Trajectory  # by the paper's T -> infinity map
    bare: Trajectory  # without skip connections
    centred: Trajectory  # with attention less its mean


def propagate(architecture: Architecture, gains: Dials, first: State, overlaps: Overlapping) -> Trajectory:
    """The states at the input and after each of the `depth` blocks."""
    shape = np.broadcast_shapes(*(gain.shape for gain in gains), first.q.shape)
    now = _spread_out(first, len(overlaps.averages), shape)
    states = [now]
    for number in range(architecture.depth):
        now = block(architecture, gains, now.late if number == _RESOLVED else now, overlaps)
        states.append(now)
    return Trajectory(tuple(states))


def paths(architecture: Architecture, initialisation: Initialisation, overlaps: Overlapping) -> Paths:
    """The four of them."""
    base = setting(architecture, initialisation)
    unskipped = replace(architecture, skip_attention=0.0, skip_mlp=0.0)
    none = setting(unskipped, initialisation)
    return Paths(
        architecture,
        initialisation,
        base,
        overlaps,
        propagate(architecture, base.gains, base.first, overlaps),
        propagate(architecture, base.gains, base.first, infinite_rows(architecture)),
        propagate(unskipped, none.gains, none.first, overlaps),
        propagate(replace(architecture, centred=True), base.gains, base.first, overlaps),
    )


def block(architecture: Architecture, gains: Dials, before: State, overlaps: Overlapping) -> State:
    """The tokens after one block."""
    attended = attention_branch(architecture, gains, before, overlaps)
    middle = join(architecture, attended, before, gains.skip_attention)
    if not architecture.mlp_width:
        return middle
    if architecture.parallel:
        return join(
            architecture, mlp_branch(architecture, gains, before), middle, np.ones_like(gains.skip_mlp)
        )
    return join(architecture, mlp_branch(architecture, gains, middle), middle, gains.skip_mlp)


def join(architecture: Architecture, branch: Branch, skip: State, alpha: Array) -> State:
    """The residual after a sublayer: alpha x + f(x), and the norm behind it in post-LN."""
    added, kept = branch.added, alpha**2
    energies, overlaps = added.energies + kept * skip.energies, added.overlaps + kept * skip.overlaps
    total = State(energies, overlaps, _unevenness(branch, skip, kept))
    if architecture.placement == "post":
        return normalised(total, architecture.norm_eps)
    return total.scaled(np.clip(energies, 1.0 / _FAR, _FAR) / np.maximum(energies, 1e-300))


def _unevenness(branch: Branch, skip: State, kept: Array) -> Array:
    """Anisotropy of alpha x + f(x).

    The covariance of the branch adds freely; its part that is linear in x correlates with x as well, which is the
    larger effect: about 2 b per block for a branch that adds the share b of the spread (derived for this project).
    """
    stays = kept * np.maximum(skip.q - skip.p, 1e-150)
    share = np.maximum(branch.added.q - branch.added.p, 1e-150)
    share = share / (stays + share)
    both = 2.0 * share * (1.0 - share) * (1.0 + branch.linear * skip.uneven)
    found: Array = (1.0 - share) ** 2 * skip.uneven + both + share**2 * branch.added.uneven
    return found


def _spread_out(first: State, positions: int, shape: tuple[int, ...]) -> State:
    """The tokens that enter, once per model and position."""
    return State(
        np.broadcast_to(first.q, (positions, *shape)),
        np.broadcast_to(first.p, (positions, positions, *shape)),
        np.broadcast_to(first.uneven, shape),
    )
