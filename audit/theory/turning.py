"""How far a knob of an untrained model has to be turned to bring it into another phase."""

from typing import NamedTuple

import numpy as np

from audit.results.trainability import Change, Phase
from audit.theory.architecture import Architecture
from audit.theory.knobs import Knob, Outcome, outcome, phase_of
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping
from audit.theory.states import Dials, Setting, tokens_of

REACH = 100.0  # a knob is turned up to this much either way
_COARSE, _FINE = 61, 33  # values tried over the whole reach, then between the two that differ


class Turnable(NamedTuple):
    """A knob, in words and at its present value."""

    name: str
    says: str
    turn: Knob
    value: float  # now


class _Range(NamedTuple):
    """Factors to try."""

    knob: Turnable
    factors: Array


class _Turn(NamedTuple):
    factor: float
    phase: Phase
    similarity: float


def turned(
    architecture: Architecture, base: Setting, knobs: tuple[Turnable, ...], now: Phase, overlaps: Overlapping
) -> list[Change]:
    """The nearest other phase on either side of the present value of each knob; coarsely first, then finely."""

    def tried(ranges: list[_Range]) -> list[Outcome]:
        these = [r.knob.turn(architecture, base, r.factors) for r in ranges]
        return _split(outcome(architecture, _together(these, len(ranges[0].factors)), overlaps), len(ranges))

    ends = [_Range(knob, np.geomspace(1.0, end, _COARSE)) for knob in knobs for end in (REACH, 1.0 / REACH)]
    brackets = [_bracket(r, found, now) for r, found in zip(ends, tried(ends), strict=True)]
    crossed = [r for r in brackets if r is not None]
    finer = tried(crossed) if crossed else []
    turns = [_first(r, found, now) for r, found in zip(crossed, finer, strict=True)]
    moved = [_change(r.knob, turn) for r, turn in zip(crossed, turns, strict=True)]
    stuck = [_unmoved(knob, now) for knob in knobs if all(knob is not r.knob for r in crossed)]
    return moved + stuck


def _bracket(tried: _Range, found: Outcome, now: Phase) -> _Range | None:
    """The two neighbouring factors between which the phase changes first, and what lies between them."""
    other = np.flatnonzero(found.phase != now)
    if not other.size or not other[0]:
        return None
    return _Range(tried.knob, np.geomspace(tried.factors[other[0] - 1], tried.factors[other[0]], _FINE))


def _first(tried: _Range, found: Outcome, now: Phase) -> _Turn:
    at = int(np.flatnonzero(found.phase != now)[0])
    return _Turn(float(tried.factors[at]), phase_of(found, at), float(found.similarity[at]))


def _unmoved(knob: Turnable, now: Phase) -> Change:
    low, high = knob.value / REACH, knob.value * REACH
    words = f"turning {knob.says} anywhere from {low:.2g} to {high:.2g} leaves it in the same phase: {now}"
    return Change(knob=knob.name, before=knob.value, after=None, phase=now, similarity=None, words=words)


def _together(these: list[Setting], size: int) -> Setting:
    """Several rows of models as one, [row * size]."""

    def joined(parts: list[Array]) -> Array:
        return np.concatenate([np.broadcast_to(part, size) for part in parts])

    gains = (joined([getattr(s.gains, name) for s in these]) for name in Dials._fields)
    return Setting(
        Dials(*gains), tokens_of(joined([s.first.q for s in these]), joined([s.first.p for s in these]))
    )


def _split(found: Outcome, rows: int) -> list[Outcome]:
    phases, similarities = found.phase.reshape(rows, -1), found.similarity.reshape(rows, -1)
    return [Outcome(*row) for row in zip(phases, similarities, strict=True)]


def _change(knob: Turnable, turn: _Turn) -> Change:
    after = knob.value * turn.factor
    words = (
        f"{knob.says}: {knob.value:.3g} now, {turn.phase} from {after:.3g} "
        f"({'x' if turn.factor > 1 else '/'}{max(turn.factor, 1 / turn.factor):.3g})"
    )
    return Change(
        knob=knob.name,
        before=knob.value,
        after=after,
        phase=turn.phase,
        similarity=turn.similarity,
        words=words,
    )
