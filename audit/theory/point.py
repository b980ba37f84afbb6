"""One configuration in the diagram: where its first block stands, and where its last one ends."""

import math

import numpy as np

from audit.results.trainability import Phase, Point
from audit.theory.architecture import Architecture, Initialisation
from audit.theory.knobs import outcome_at, phase_of
from audit.theory.overlaps import own_overlap, row_entropy
from audit.theory.phases import (
    critical_inverse_temperature,
    critical_skip,
    freezing_ratio,
    inverse_temperature,
)
from audit.theory.propagation import Paths, Trajectory
from audit.theory.states import Dials, State
from audit.theory.sublayers import score_law, sublayer_input


def point(taken: Paths) -> Point:
    """Where a configuration stands."""
    architecture, base = taken.architecture, taken.setting
    entering = sublayer_input(architecture, base.first)
    spread = float(score_law(architecture, base.gains, entering, taken.overlaps).spread[-1])
    beta = float(inverse_temperature(base.gains.score_sd, architecture.tokens))
    return Point(
        beta=beta,
        beta_critical=_critical(architecture, entering),
        score_sd=spread,
        score_sd_at_unit_beta=spread / beta,
        kappa=float(freezing_ratio(spread, architecture.tokens)),
        entropy_share=row_entropy(spread, architecture.tokens) / math.log(architecture.tokens),
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


def _phase(taken: Paths, path: Trajectory) -> Phase:
    depth = np.asarray(taken.architecture.depth, np.int64)
    return phase_of(outcome_at(taken.architecture, taken.setting, path, depth))


def entropy_at(here: Point, beta: float) -> float:
    """H / log T of a row of the first block at another inverse temperature."""
    return row_entropy(here.score_sd_at_unit_beta * beta, here.tokens) / math.log(here.tokens)


def _critical(architecture: Architecture, entering: State) -> float | None:
    q = np.ones_like(entering.q) if architecture.qk_norm else entering.q
    found = float(critical_inverse_temperature(q, entering.p * q / entering.q))
    return found if math.isfinite(found) else None


def _closed_form(architecture: Architecture, initialisation: Initialisation, gains: Dials) -> float | None:
    similar = initialisation.similarity
    if architecture.placement != "post" or not 0.0 < similar < 1.0:
        return None
    value = float(gains.value) * (float(gains.output) if architecture.output_projection else 1.0)
    return critical_skip(value, architecture.depth, first=similar)
