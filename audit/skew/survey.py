"""Every demographic axis of a probe, from its sentences to what can be said of it."""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from audit import sharing
from audit.definitions import Axis, PairProbe
from audit.errors import MachineFault
from audit.models.fresh import reinitialised
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.probes.matching import match
from audit.progress import Progress
from audit.results import Plan
from audit.results.demographics import Skew, SkewAxis, SkewedHead, SkewExample
from audit.results.subject import LayerCoverage
from audit.skew.behaviour import understood
from audit.skew.carrying import Consequences, consequences
from audit.skew.design import SENTENCES, Design, design
from audit.skew.example import Pair, example, typical
from audit.skew.ground import Ground
from audit.skew.heads import beside_untrained, by_layer, listed
from audit.skew.readings import read
from audit.skew.testing import LEVEL, SHOWN, Adjusted, Tests, corrected, in_order, tested, visible
from audit.skew.words import DIVERGENCES, QUANTITIES

ON_REQUEST = "measured only for axes that stand out; --depth full measures all"

OUTPUTS = {
    "output": "difference in the attribute's log probability",
    "carries": "share of it that follows the head's pattern",
}


class _Measured(NamedTuple):
    """One axis, read and tested but not yet corrected for the others."""

    fed: int  # sentences
    tests: dict[str, Tests]
    pair: Pair | None  # to show the first head by that has a direction


class _Verdict(NamedTuple):
    word: Any
    reason: str


def survey_skew(
    loaded: LoadedModel,
    probe: PairProbe,
    *,
    layers: Sequence[LayerCoverage],
    plan: Plan,
    progress: Progress,
) -> Skew:
    """How `loaded` allots its attention to the groups of every axis of `probe`.

    Args:
        loaded: the model; it is left as it was.
        probe: what is fed.
        layers: `coverage.layers`.
        plan: depth (how many sentences) and seed.
        progress: told of each axis.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    if (why := inapplicable(loaded, layers)) is not None:
        return Skew(probe=probe.name, quantities={}, tests=0, level=LEVEL, axes=(), absent=why)
    ground = Ground(loaded=loaded, layers=layers, plan=plan, shown=plan.show_text or not probe.private)
    axes = probe.axes()
    budget = None if plan.depth == "full" or fits(axes) else SENTENCES // len(axes)
    designs = [design(axis, match(axis, loaded.tokenizer), sentences=budget, seed=plan.seed) for axis in axes]
    with progress.stage(f"observe {probe.name}", len(axes)) as advance:
        steps = [
            sharing.Step(["measured", probe.name, each.axis.name], partial(_measured, ground, each))
            for each in designs
        ]
        measured = sharing.made(_Measured, steps, advance)
    together = corrected(
        [each.tests if _judged(of) else {} for of, each in zip(designs, measured, strict=True)]
    )
    # the control is judged by itself, so that it cannot lend the others its silence
    adjusted = [
        corrected([each.tests]).only(0) if of.axis.control else together.only(number)
        for number, (of, each) in enumerate(zip(designs, measured, strict=True))
    ]
    fresh = _Fresh(ground)
    with progress.stage("weigh skew", len(axes)) as advance:
        said = sharing.made(
            SkewAxis,
            [
                sharing.Step(["said", probe.name, of.axis.name], partial(_said, ground, fresh, of, each, by))
                for of, each, by in zip(designs, measured, adjusted, strict=True)
            ],
            advance,
        )
    titles = {name: quantity.title for name, quantity in QUANTITIES.items()}
    titles |= {name: each.title for name, each in DIVERGENCES.items()} | OUTPUTS
    return Skew(probe=probe.name, quantities=titles, tests=together.size, level=LEVEL, axes=tuple(said))


def inapplicable(loaded: LoadedModel, layers: Sequence[LayerCoverage]) -> str | None:
    """Why nothing can be compared on this model; None where it can."""
    if loaded.tokenizer is None:
        return "the checkpoint has no tokenizer"
    if not getattr(loaded.tokenizer, "is_fast", False):
        return "the tokenizer does not say which characters a token stands for"
    if not any(layer.observed and layer.kind == "self" for layer in layers):
        return "no self-attention layer was observed"
    return None


def fits(axes: Sequence[Axis]) -> bool:
    """Whether all sentences of a file of one's own are within the budget."""
    return all(axis.rows for axis in axes) and sum(len(axis.rows or ()) for axis in axes) <= SENTENCES


def _judged(made: Design) -> bool:
    return made.few is None and not made.axis.control


def _measured(ground: Ground, made: Design) -> _Measured:
    seed, sentences = ground.plan.seed, ground.sentences(made.axis, made.cells)
    readings = read(ground.loaded.model, made, sentences, layers=ground.layers, seed=seed)
    tests = tested(readings, made, seed=seed)
    directed = [place for place in in_order(tests) if place[0] in QUANTITIES]
    pair = typical(readings, made, *directed[0]) if directed else None
    return _Measured(readings.sentences, tests, pair)


class _Fresh:
    """The same architecture with fresh weights, made once and only when asked for."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @cached_property
    def model(self) -> Any:
        """The model, or why there is none."""
        return reinitialised(self._ground.loaded, self._ground.plan.seed)

    def beside(self, made: Design, heads: tuple[SkewedHead, ...]) -> tuple[SkewedHead, ...]:
        """`heads` with what it shows in their place, where there is one."""
        if isinstance(self.model, str):
            return heads
        try:
            return beside_untrained(self._ground, self.model, made, heads)
        except MachineFault:  # of two models beside each other: the audit can do without
            return heads


def _said(ground: Ground, fresh: _Fresh, made: Design, each: _Measured, adjusted: Adjusted) -> SkewAxis:
    axis = made.axis
    language = understood(ground, made)
    heads = listed(each.tests, adjusted, ground.layers) if language is None else ()
    shown = heads[:SHOWN]
    found = sum(head.q <= LEVEL for head in heads)
    if found and not axis.control:
        shown = fresh.beside(made, shown)
    output = _output(ground, made, shown, adjusted, found=found)
    if isinstance(output, Consequences):
        shown = output.heads
    verdict = _verdict(made, each.tests, adjusted, heads, language)
    return SkewAxis(
        name=axis.name,
        title=axis.title,
        groups=axis.groups,
        pairs=_pairs(made) if ground.shown else (),
        terms=int(made.first.sum()),
        templates=len(made.templates),
        sentences=each.fed,
        unknown=len(made.matched.unknown),
        unmatched=len(made.matched.unmatched),
        imbalance=rounded(made.matched.imbalance, 3) or 0.0,
        limits=axis.limits,
        control=axis.control,
        verdict=verdict.word,
        reason=verdict.reason,
        heads=shown,
        found=found,
        by_layer=by_layer(heads, ground.layers),
        smallest=visible(each.tests, adjusted.size) if language is None else None,
        output=output.output.record() if isinstance(output, Consequences) else None,
        output_absent=None if isinstance(output, Consequences) else output,
        remedies=output.remedies if isinstance(output, Consequences) else (),
        example=_example(ground, made, each.pair, shown),
    )


def _example(
    ground: Ground, made: Design, pair: Pair | None, shown: Sequence[SkewedHead]
) -> SkewExample | None:
    """Of the first head with a direction, where it stands out."""
    first = next((head for head in shown if head.quantity in QUANTITIES), None)
    if first is None or first.q > LEVEL or pair is None or made.axis.control or not ground.shown:
        return None
    return example(ground, made, pair, first)


def _output(
    ground: Ground, made: Design, shown: Sequence[SkewedHead], adjusted: Adjusted, *, found: int
) -> Consequences | str:
    if made.axis.control or not (found or ground.plan.depth == "full"):
        return ON_REQUEST
    return consequences(ground, made, shown, adjusted.standing())


def _pairs(made: Design) -> tuple[tuple[str, str], ...]:
    """The matched terms that were fed."""
    one, two = made.axis.terms
    fed = {(*one, *two)[term] for term in made.chosen}
    return tuple((one[a], two[b]) for a, b in made.matched.pairs if {one[a], two[b]} <= fed)


def _nothing(made: Design, terms: int) -> str:
    unmatched, unknown = len(made.matched.unmatched), len(made.matched.unknown)
    return (
        f"nothing to compare: {terms} terms per group are matched, {unmatched} have no counterpart of as many word "
        f"pieces, and {unknown} are unknown to the tokenizer"
    )


def _verdict(
    made: Design,
    tests: dict[str, Tests],
    adjusted: Adjusted,
    heads: Sequence[SkewedHead],
    language: str | None,
) -> _Verdict:
    terms = int(made.first.sum())
    if language is not None:
        return _Verdict("not applicable", language)
    if not tests:
        return _Verdict("not applicable", _nothing(made, terms))
    if made.few is not None:
        return _Verdict("descriptive", made.few)
    cells = sum(int(np.isfinite(values).sum()) for values in adjusted.q.values())
    found = sum(head.q <= LEVEL for head in heads)
    if found:
        return _Verdict("skew found", f"{found} of {cells} tests of heads stand out")
    least = visible(tests, adjusted.size)
    above = (
        ""
        if least is None
        else f"; {least:.3g} more or less attention received would probably have shown in every second head"
    )
    return _Verdict("none found", f"none of {cells} tests of heads stands out{above}")
