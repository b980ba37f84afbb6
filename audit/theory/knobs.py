"""What can be turned in an architecture before training, and by how much it would have to be turned."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.results.trainability import Phase
from audit.theory.architecture import Architecture, Initialisation
from audit.theory.phases import inverse_temperature, phases
from audit.theory.propagation import Trajectory, propagate
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping
from audit.theory.states import Setting, setting, tokens_of
from audit.theory.sublayers import sublayer_input

Depths = NDArray[np.int64]


class Outcome(NamedTuple):
    """Where models end up."""

    phase: NDArray[np.str_]
    similarity: Array  # after the last block


Knob = Callable[[Architecture, Setting, Array], Setting]


def outcome(architecture: Architecture, these: Setting, overlaps: Overlapping) -> Outcome:
    """Phase and similarity after the last block."""
    path = propagate(architecture, these.gains, these.first, overlaps)
    return outcome_at(architecture, these, path, np.asarray(architecture.depth, np.int64))


def outcome_at(architecture: Architecture, these: Setting, path: Trajectory, depth: Depths) -> Outcome:
    """The outcome with the last block at `depth`, which broadcasts against the cells."""
    similarity = path.similarity
    cells = np.broadcast_shapes(depth.shape, similarity.shape[1:])
    similarity = np.broadcast_to(
        similarity.reshape(-1, *_padded(similarity.shape[1:], cells)), (len(similarity), *cells)
    )
    last = np.take_along_axis(similarity, np.broadcast_to(depth, cells)[None], axis=0)[0]
    beta = inverse_temperature(these.gains.score_sd, architecture.tokens)
    entering = sublayer_input(architecture, these.first)
    if architecture.qk_norm:  # queries and keys are normed whatever enters
        entering = tokens_of(1.0, entering.similarity)
    found = phases(np.broadcast_to(beta, last.shape), q0=entering.q, p0=entering.p, last=last)
    return Outcome(found, last)


def phase_of(result: Outcome, at: int | None = None) -> Phase:
    """The phase of the only cell, or of cell `at`."""
    found: Phase = str(result.phase if at is None else result.phase[at])  # type: ignore[assignment]
    return found


def spread_of_all(initialisation: Initialisation) -> Knob:
    """Multiplies the sd of every matrix, and of the embeddings where no norm stands behind them."""

    def turned(architecture: Architecture, base: Setting, factor: Array) -> Setting:
        gains, squared = query_key_spread(architecture, base, factor).gains, factor**2
        gains = gains._replace(
            value=gains.value * squared,
            output=gains.output * squared,
            mlp_in=gains.mlp_in * squared,
            mlp_gate=gains.mlp_gate * squared,
            mlp_out=gains.mlp_out * squared,
        )
        size = 1.0 if initialisation.embedding_norm else squared
        return Setting(gains, tokens_of(base.first.q * size, base.first.p * size))

    return turned


def query_key_spread(architecture: Architecture, base: Setting, factor: Array) -> Setting:
    """Multiplies the sd of W_Q and of W_K; nothing where queries and keys are normed."""
    squared = np.ones_like(factor) if architecture.qk_norm else factor**2
    gains = base.gains
    gains = gains._replace(score_sd=gains.score_sd * squared, query_bias=gains.query_bias / squared)
    return Setting(gains, base.first)


def skip_strength(_architecture: Architecture, base: Setting, factor: Array) -> Setting:
    """Multiplies both skip scales."""
    gains = base.gains
    gains = gains._replace(skip_attention=gains.skip_attention * factor, skip_mlp=gains.skip_mlp * factor)
    return Setting(gains, base.first)


def branch_strength(architecture: Architecture, base: Setting, factor: Array, *, mlp: bool = True) -> Setting:
    """Multiplies the sd of the residual projections: W_O (W_V where there is none) and the second MLP matrix."""
    gains, squared = base.gains, factor**2
    if architecture.output_projection:
        gains = gains._replace(output=gains.output * squared)
    else:
        gains = gains._replace(value=gains.value * squared)
    return Setting(gains._replace(mlp_out=gains.mlp_out * squared) if mlp else gains, base.first)


def by_depth(architecture: Architecture, initialisation: Initialisation, depth: Depths) -> Setting:
    """The model at other depths; matrices drawn with sd / sqrt(2L) follow the depth."""
    base, scaled = setting(architecture, initialisation), initialisation.output_by_depth
    if scaled == "none":
        return base
    return branch_strength(architecture, base, np.sqrt(architecture.depth / depth), mlp=scaled == "both")


def deeper(architecture: Architecture, depth: int) -> Architecture:
    """The same architecture with another number of blocks."""
    return replace(architecture, depth=depth)


def residual_scaling(depth: int) -> float:
    """1 / sqrt(2L), what GPT-2 multiplies the sd of its residual projections by."""
    return 1.0 / math.sqrt(2.0 * depth)


def _padded(shape: tuple[int, ...], cells: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with as many axes as `cells`."""
    return (1,) * (len(cells) - len(shape)) + shape
