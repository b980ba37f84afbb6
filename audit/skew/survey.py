"""Every demographic axis of a probe, from its sentences to what can be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from audit.definitions import Axis, PairProbe
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.probes.framing import plain_frame
from audit.probes.matching import match
from audit.probes.sentences import Crossing, crossings
from audit.progress import Progress
from audit.results import Plan
from audit.results.demographics import Skew, SkewAxis, SkewedHead
from audit.results.subject import LayerCoverage
from audit.skew.behaviour import Behaviour, behaviour, understood
from audit.skew.carrying import carried
from audit.skew.design import SENTENCES, Design, design
from audit.skew.heads import beside_untrained, by_layer, listed
from audit.skew.readings import read
from audit.skew.testing import LEVEL, Adjusted, Tests, corrected, tested, visible
from audit.skew.words import DIVERGENCES, QUANTITIES

SHOWN = 12  # heads of an axis that are named
PATCHED = {"standard": 1, "full": 3}  # of these, heads whose effect on the output is measured: a pass each
ENOUGH = 1_000  # sentences of an axis for what is measured beside the attention itself
ON_REQUEST = "measured only for axes that stand out; --depth full measures all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every axis is measured on."""

    loaded: LoadedModel
    layers: Sequence[LayerCoverage]
    plan: Plan
    shown: bool  # whether terms may be named


class _Measured(NamedTuple):
    """One axis, read and tested but not yet corrected for the others."""

    design: Design
    sentences: list[Crossing]
    fed: int
    tests: dict[str, Tests]

    @property
    def some(self) -> list[Crossing]:
        """Every so many batches of sentences, so that about `ENOUGH` remain: what is patched costs a pass each."""
        return self.sentences[:: max(1, round(self.fed / ENOUGH))]


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
    if (why := _inapplicable(loaded, layers)) is not None:
        return Skew(probe=probe.name, quantities={}, tests=0, level=LEVEL, axes=(), absent=why)
    ground = Ground(loaded=loaded, layers=layers, plan=plan, shown=plan.show_text or not probe.private)
    axes = probe.axes()
    budget = None if plan.depth == "full" or probe.private else SENTENCES // len(axes)
    measured = []
    with progress.stage(f"observe {probe.name}", len(axes)) as advance:
        for axis in axes:
            measured.append(_measured(ground, axis, budget))
            advance(1)
    together = corrected([each.tests if _judged(each.design) else {} for each in measured])
    said = []
    with progress.stage("weigh skew", len(axes)) as advance:
        for number, each in enumerate(measured):
            # the control is judged by itself, so that it cannot lend the others its silence
            adjusted = corrected([each.tests]).only(0) if each.design.axis.control else together.only(number)
            said.append(_said(ground, each, adjusted))
            advance(1)
    titles = {name: quantity.title for name, quantity in QUANTITIES.items()}
    titles |= {name: each.title for name, each in DIVERGENCES.items()}
    return Skew(probe=probe.name, quantities=titles, tests=together.size, level=LEVEL, axes=tuple(said))


def _inapplicable(loaded: LoadedModel, layers: Sequence[LayerCoverage]) -> str | None:
    if loaded.tokenizer is None:
        return "the checkpoint has no tokenizer"
    if not getattr(loaded.tokenizer, "is_fast", False):
        return "the tokenizer does not say which characters a token stands for"
    if not any(layer.observed and layer.kind == "self" for layer in layers):
        return "no self-attention layer was observed"
    return None


def _judged(made: Design) -> bool:
    return made.few is None and not made.axis.control


def _measured(ground: Ground, axis: Axis, budget: int | None) -> _Measured:
    loaded, seed = ground.loaded, ground.plan.seed
    tokenizer: Any = loaded.tokenizer
    made = design(axis, match(axis, tokenizer), sentences=budget, seed=seed)
    pad = tokenizer.pad_token_id
    sentences = crossings(
        axis,
        made.cells,
        tokenizer=tokenizer,
        frame=plain_frame(tokenizer),
        pad_id=0 if pad is None else pad,
        special_ids=tokenizer.all_special_ids,
    )
    kept = list(sentences)
    readings = read(loaded.model, made, kept, layers=ground.layers, seed=seed)
    return _Measured(made, kept, readings.sentences, tested(readings, made, seed=seed))


def _said(ground: Ground, each: _Measured, adjusted: Adjusted) -> SkewAxis:
    made, axis = each.design, each.design.axis
    language = understood(ground.loaded, made, each.sentences)
    heads = listed(each.tests, adjusted, ground.layers) if language is None else ()
    standing = tuple(head for head in heads if head.q <= LEVEL)
    if standing and not axis.control:
        standing = beside_untrained(
            ground.loaded, made, each.some, standing, layers=ground.layers, seed=ground.plan.seed
        )
    output = _output(ground, each, found=bool(standing) and language is None)
    if isinstance(output, Behaviour) and standing:
        standing, output = carried(
            ground.loaded,
            made,
            each.some,
            standing[:SHOWN],
            output,
            layers=ground.layers,
            patched=PATCHED.get(ground.plan.depth, 1),
            seed=ground.plan.seed,
        )
    shown = (*standing, *heads[len(standing) :])[:SHOWN]
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
        found=sum(head.q <= LEVEL for head in heads),
        by_layer=by_layer(heads, ground.layers),
        smallest=visible(each.tests, adjusted.size),
        output=output.record() if isinstance(output, Behaviour) else None,
        output_absent=None if isinstance(output, Behaviour) else output,
    )


def _output(ground: Ground, each: _Measured, *, found: bool) -> Behaviour | str:
    if each.design.axis.control or not (found or ground.plan.depth == "full"):
        return ON_REQUEST
    return behaviour(ground.loaded, each.design, each.sentences, layers=ground.layers, seed=ground.plan.seed)


def _pairs(made: Design) -> tuple[tuple[str, str], ...]:
    """The matched terms that were fed."""
    one, two = made.axis.terms
    fed = {(*one, *two)[term] for term in made.chosen}
    return tuple((one[a], two[b]) for a, b in made.matched.pairs if {one[a], two[b]} <= fed)


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
        return _Verdict("not applicable", f"{terms} matched terms per group leave nothing to compare")
    if made.few is not None:
        return _Verdict("descriptive", made.few)
    cells = sum(int(np.isfinite(values).sum()) for values in adjusted.q.values())
    found = sum(head.q <= LEVEL for head in heads)
    if found:
        return _Verdict("skew found", f"{found} of {cells} tests of heads stand out")
    least = visible(tests, adjusted.size)
    above = "" if least is None else f": none above {least:.3g} of attention received, in the median head"
    return _Verdict("none found", f"none of {cells} tests of heads stands out{above}")
