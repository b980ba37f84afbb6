"""Which change of an untrained model would bring it into another phase, each found by sending it through the map."""

from dataclasses import replace

import numpy as np

from audit.results.trainability import Change, Phase
from audit.theory.architecture import Architecture, Initialisation, Placement
from audit.theory.knobs import (
    branch_strength,
    by_depth,
    deeper,
    outcome,
    outcome_at,
    phase_of,
    query_key_spread,
    residual_scaling,
    skip_strength,
    spread_of_all,
)
from audit.theory.propagation import propagate
from audit.theory.rows import Overlapping
from audit.theory.states import setting
from audit.theory.turning import Turnable, turned

_DEEPEST = 1024


def changes(
    architecture: Architecture, initialisation: Initialisation, overlaps: Overlapping
) -> tuple[Change, ...]:
    """Every change that was tried, in a fixed order: spreads, skip, residual projections, norm placement, depth."""
    base = setting(architecture, initialisation)
    now = phase_of(outcome(architecture, base, overlaps))
    knobs = _knobs(architecture, initialisation)
    found = turned(architecture, base, knobs, now, overlaps)
    found.append(_scaled_projections(architecture, initialisation, now, overlaps))
    found += [_placed(architecture, initialisation, other, overlaps) for other in _others(architecture)]
    return (*found, _depth(architecture, initialisation, now, overlaps))


def _knobs(architecture: Architecture, initialisation: Initialisation) -> tuple[Turnable, ...]:
    i, skip = initialisation, architecture.skip_attention
    all_of_it = Turnable("init_std", "the standard deviation of all weights", spread_of_all(i), i.sd_value)
    scores = Turnable(
        "query_key_std", "the standard deviation of the query and key weights", query_key_spread, i.sd_query
    )
    kept = Turnable("residual_scale", "the scale of the skip connections", skip_strength, skip)
    return tuple(
        k for k, works in ((all_of_it, True), (scores, not architecture.qk_norm), (kept, skip > 0)) if works
    )


def _scaled_projections(
    architecture: Architecture, initialisation: Initialisation, now: Phase, overlaps: Overlapping
) -> Change:
    """With the residual projections drawn as GPT-2 does, or without it where they are."""
    scaled, base = initialisation.output_by_depth, setting(architecture, initialisation)
    on, factor = scaled != "none", np.array(residual_scaling(architecture.depth))
    these = branch_strength(architecture, base, 1.0 / factor if on else factor, mlp=scaled != "attention")
    result = outcome(architecture, these, overlaps)
    phase, similarity = phase_of(result), float(result.similarity)
    done = "without dividing" if on else "dividing"
    stays = "stays" if phase == now else "becomes"
    words = (
        f"{done} the standard deviation of the residual projections by sqrt(2L): it {stays} {_state(phase)}, "
        f"token cosine {similarity:.2f} after the last block"
    )
    before, after = ("1/sqrt(2L)", "1") if on else ("1", "1/sqrt(2L)")
    return Change(
        knob="residual_projections",
        before=before,
        after=after,
        phase=phase,
        similarity=similarity,
        words=words,
    )


def _others(architecture: Architecture) -> tuple[Placement, ...]:
    return tuple(p for p in ("pre", "post") if p != architecture.placement)


def _placed(
    architecture: Architecture, initialisation: Initialisation, other: Placement, overlaps: Overlapping
) -> Change:
    moved = replace(architecture, placement=other)
    result = outcome(moved, setting(moved, initialisation), overlaps)
    phase, similarity = phase_of(result), float(result.similarity)
    words = f"{other}-LN instead of {architecture.placement}-LN: {phase}, token cosine {similarity:.2f} after the last block"
    return Change(
        knob="norm_placement",
        before=architecture.placement,
        after=other,
        phase=phase,
        similarity=similarity,
        words=words,
    )


def _depth(
    architecture: Architecture, initialisation: Initialisation, now: Phase, overlaps: Overlapping
) -> Change:
    """The depth nearest to the present one at which the phase differs."""
    most = max(architecture.depth, min(_DEEPEST, max(256, 16 * architecture.depth)))
    depths = np.unique(np.geomspace(1, most, 200).astype(np.int64))
    these = by_depth(architecture, initialisation, depths)
    path = propagate(deeper(architecture, most), these.gains, these.first, overlaps)
    result = outcome_at(architecture, these, path, depths)
    other = np.flatnonzero(result.phase != now)
    if not other.size:
        words = f"any depth from 1 to {most} blocks leaves it in the same phase: {now}"
        return Change(
            knob="depth", before=architecture.depth, after=None, phase=now, similarity=None, words=words
        )
    nearest = other[np.argmin(np.abs(np.log(depths[other] / architecture.depth)))]
    after, phase = int(depths[nearest]), phase_of(result, int(nearest))
    words = f"depth: {architecture.depth} blocks now, {phase} {'from' if after > architecture.depth else 'up to'} {after}"
    similarity = float(result.similarity[nearest])
    return Change(
        knob="depth", before=architecture.depth, after=after, phase=phase, similarity=similarity, words=words
    )


def _state(phase: Phase) -> str:
    return {"rank collapse": "collapsed in rank", "entropy collapse": "collapsed in entropy"}.get(
        phase, phase
    )
