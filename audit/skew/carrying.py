"""Whether a head that attends unequally also carries the difference in output: its pattern is swapped between pairs.

A sentence x and its counterpart x' differ in one term of as many pieces. The head attends in x as it did in x', and
everything else stays: the change of the output is the head's indirect effect, to be held against the total effect of
putting the other term. With every head's pattern swapped one at a time these do not add up to one.

Source: Vig et al. 2020, Investigating gender bias in language models using causal mediation analysis, section 4.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from audit.models.attention import Edit
from audit.models.observing import Editor
from audit.numerics import rounded
from audit.observations import AttentionObservation
from audit.probes.sentences import Crossing
from audit.results.demographics import SkewedHead, SkewRemedy
from audit.skew.asking import Editing, Interview, counterparts, pair_of
from audit.skew.behaviour import Behaviour, behaviour
from audit.skew.design import Design
from audit.skew.ground import Ground
from audit.skew.readings import Reader, Readings
from audit.skew.remedies import REMEDIES, Place, Trial
from audit.skew.shares import Share, of_effect
from audit.skew.testing import LEVEL, Standing

PATCHED = {"standard": 1, "full": 3}  # heads whose effect on the output is measured


class Consequences(NamedTuple):
    """What the model says of the sentences of an axis, and what heads that stand out have to do with it."""

    output: Behaviour
    heads: tuple[SkewedHead, ...]
    remedies: tuple[SkewRemedy, ...]


def consequences(
    ground: Ground, made: Design, heads: Sequence[SkewedHead], standing: Standing
) -> Consequences | str:
    """How the output differs between the groups, or why that is not known.

    Which head carries it, and what remedies do, is tried only where it differs beyond chance (at depth full: wherever
    heads stand out). A remedy treats all of `heads` that stand out.
    """
    if ground.loaded.task not in ("causal", "masked"):
        return f"a model of the kind {ground.loaded.task!r} does not predict words of a sentence"
    places = list(dict.fromkeys((head.layer, head.head) for head in heads if head.q <= LEVEL))
    patched = places[: PATCHED.get(ground.plan.depth, 1)]
    before = Readings.blank(made, ground.layers)

    def look(crossing: Crossing) -> Editor:
        return Reader(before, made, crossing, ground.layers).on_attention

    first = [min(places)[0]] if places else []
    interview = Interview(ground, made, edited=[*first, *(layer for layer, _ in patched)], look=look)
    if not np.isfinite(interview.unchanged.attribute).any():
        return "no template asks for an attribute behind the term"
    output = behaviour(interview.unchanged.attribute, made, ground.plan.seed)
    if not places or not (output.leans or ground.plan.depth == "full"):
        return Consequences(output, tuple(heads), ())
    shares = {place: _carried(interview, made, place, ground.plan.seed) for place in patched}
    trial = Trial(ground, made, interview, places, before, standing)
    return Consequences(
        output,
        tuple(_named(head, shares.get((head.layer, head.head))) for head in heads),
        tuple(trial.of(name) for name in REMEDIES),
    )


def _named(head: SkewedHead, share: Share | None) -> SkewedHead:
    if share is None:
        return head
    value, low, high = (rounded(each, 4) for each in share)
    return replace(head, carries=value, carries_low=low, carries_high=high)


def _carried(interview: Interview, made: Design, place: Place, seed: int) -> Share:
    """Share of the total effect that follows this head's pattern."""
    found = interview.changed(_swapping(made, place), layer=place[0])
    shift = found.attribute - interview.unchanged.attribute
    return of_effect(shift, interview.effect, pair_of(made), seed=seed)


def _swapping(made: Design, place: Place) -> Editing:
    layer, head = place

    def editing(crossing: Crossing) -> Editor:
        order = counterparts(crossing, made)

        def edit(seen: AttentionObservation) -> Edit | None:
            if seen.layer != layer:
                return None
            pattern = seen.pattern.clone()
            pattern[:, head] = seen.pattern[order, head]
            return Edit(pattern=pattern)

        return edit

    return editing
