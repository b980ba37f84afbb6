"""One configuration in the diagram: where its first block stands, and where its last one ends."""

import math
from dataclasses import dataclass

import numpy as np

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.knobs import outcome_at
from audit.theory.overlaps import own_overlap, row_entropy
from audit.theory.paths import Paths
from audit.theory.phases import (
    critical_inverse_temperature,
    critical_skip,
    freezing_ratio,
    inverse_temperature,
)
from audit.theory.propagation import Trajectory
from audit.theory.states import Dials, State
from audit.theory.sublayers import score_law, sublayer_input


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The first block of a configuration, and where the last one ends."""

    beta: float  # inverse temperature
    beta_critical: float  # of the tokens entering the first attention; infinite where they are all equal
    score_sd: float  # s, of a row about its common part
    score_sd_at_unit_beta: float
    kappa: float  # s / sqrt(2 log T); above 1 frozen
    entropy: float  # of a row, nats
    entropy_share: float  # of log T
    own_overlap: float  # Y2; a row rests on about 1/Y2 keys
    tokens: int
    skip: float
    depth: int
    phase: str
    similarity: float  # after the last block
    phase_infinite: str  # by the paper's T -> infinity map
    similarity_infinite: float
    phase_without_skip: str
    similarity_centred: float  # with attention less its mean
    critical_skip: float | None  # closed form of attention-only post-LN stacks, where it applies

    def entropy_at(self, beta: float) -> float:
        """H / log T of a row of the first block at another inverse temperature."""
        return row_entropy(self.score_sd_at_unit_beta * beta, self.tokens) / math.log(self.tokens)


def point(taken: Paths) -> Point:
    """Where a configuration stands."""
    architecture, base = taken.architecture, taken.setting
    entering = sublayer_input(architecture, base.first)
    spread = float(score_law(architecture, base.gains, entering, taken.overlaps).spread[-1])
    beta = float(inverse_temperature(base.gains.score_sd, architecture.tokens))
    entropy = row_entropy(spread, architecture.tokens)
    return Point(
        beta=beta,
        beta_critical=_critical(architecture, entering),
        score_sd=spread,
        score_sd_at_unit_beta=spread / beta,
        kappa=float(freezing_ratio(spread, architecture.tokens)),
        entropy=entropy,
        entropy_share=entropy / math.log(architecture.tokens),
        own_overlap=own_overlap(spread, architecture.tokens),
        tokens=architecture.tokens,
        skip=architecture.skip_attention,
        depth=architecture.depth,
        phase=_phase(taken, taken.finite),
        similarity=float(taken.finite.similarity[-1]),
        phase_infinite=_phase(taken, taken.infinite),
        similarity_infinite=float(taken.infinite.similarity[-1]),
        phase_without_skip=_phase(taken, taken.bare),
        similarity_centred=float(taken.centred.similarity[-1]),
        critical_skip=_closed_form(architecture, taken.initialisation, base.gains),
    )


def _phase(taken: Paths, path: Trajectory) -> str:
    depth = np.asarray(taken.architecture.depth, np.int64)
    return str(outcome_at(taken.architecture, taken.setting, path, depth).phase)


def _critical(architecture: Architecture, entering: State) -> float:
    q = np.ones_like(entering.q) if architecture.qk_norm else entering.q
    return float(critical_inverse_temperature(q, entering.p * q / entering.q))


def _closed_form(architecture: Architecture, initialisation: Initialisation, gains: Dials) -> float | None:
    similar = initialisation.similarity
    if architecture.placement != "post" or not 0.0 < similar < 1.0:
        return None
    value = float(gains.value) * (float(gains.output) if architecture.output_projection else 1.0)
    return critical_skip(value, architecture.depth, first=similar)
