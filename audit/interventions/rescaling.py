"""Tries other sizes of what the sublayers add to the residual stream, where a finding blames depth.

Tried are all of them by one factor, such as the missing 1/sqrt(2L), all of attention or of the MLPs, and those that
stand out brought to the size of the others of their kind.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from audit.interventions.branches import Branch, Readings, Scaling, Sublayer, gradient_ratios, read
from audit.interventions.effects import Loss, objective
from audit.interventions.halves import first
from audit.interventions.readings import Array, Fed
from audit.models.inputs import padded_behind
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.results import Finding, Remedy, ScaledBranch
from audit.statistics.bootstrap import by_document, studentised_interval
from audit.statistics.noninferiority import paired_changes

CHOOSING = 16  # documents of each probe, of those that the findings rest on
STANDS_OUT = 3.0  # times the median of its kind, or a third of it
FACTORS = (2.0, 0.5, 0.25, 0.0625, 0.015625)  # of all, beside 1/sqrt(2L)
_ENOUGH = 0.9  # of the best gain: a smaller change that reaches it is taken
SMALLER = FACTORS[2:]  # of all of one kind
_KINDS: tuple[Sublayer, ...] = ("attention", "mlp")
_ALIKE = ("rank_collapse_depth", "init_rank_collapse")
_GRADIENT = ("exploding_gradient", "vanishing_gradient")
ALIKE, GROWTH = "token cosine after the last block", "log10 of the gradient at the first block over the last"


@dataclass(frozen=True, slots=True)
class Tried:
    """One scaling; `factor` where all branches have the same."""

    of: Scaling
    factor: float | None


def rescaled(
    findings: Sequence[Finding],
    loaded: LoadedModel,
    *,
    detection: Sequence[Fed],
    confirmation: Sequence[Fed],
    seed: int,
) -> tuple[Remedy, ...]:
    """What another residual scale does to the loss and to what the finding rests on, for findings that blame depth.

    Which scale is chosen on the texts that findings rest on, by the loss; its effect, paired by document, is measured
    on the others. One scale for all: such findings share their cause.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    wanted = [f for f in findings if f.severity != "info" and f.rule in (*_ALIKE, *_GRADIENT)]
    measure = objective(loaded, seed=seed)
    names = {fed.name for fed in confirmation}
    choosing = [first(fed, CHOOSING) for fed in detection if fed.name in names]
    if not wanted or not isinstance(measure, Loss) or not any(fed.batches for fed in choosing):
        return ()
    best = _best(loaded.model, measure, choosing)
    if best is None:
        return ()
    before, after = read(loaded.model, measure, confirmation, [{}, best.of])
    if not np.isfinite(measure.level(before.samples)) or all(
        measure.unusable(each.samples) is not None for each in (before, after)
    ):  # a model that its scale has brought down to chance may still be mended
        return ()
    differentiable = loaded.task != "seq2seq" and loaded.streamed is None
    grown = any(f.rule in _GRADIENT for f in wanted) and differentiable
    changes = {
        ALIKE: _change(before.alike, after.alike, before.samples.documents, seed),
        GROWTH: _growth(loaded.model, measure, confirmation, best.of, seed) if grown else None,
    }
    remedy = _remedy(best, measure, before, after, seed)
    return tuple(
        _with(remedy, finding.id, metric, changes[metric])
        for finding in wanted
        for metric in [ALIKE if finding.rule in _ALIKE else GROWTH]
    )


def _best(model: Any, measure: Loss, choosing: Sequence[Fed]) -> Tried | None:
    """The smallest change with nearly the best loss; None where nothing is added to any stream, or no loss is finite."""
    (plain,) = read(model, measure, choosing, [{}])
    wanted, known = scalings(plain.sizes), []
    tried = read(model, measure, choosing, [each.of for each in wanted])
    for place, (each, readings) in enumerate(zip(wanted, tried, strict=True)):
        found = readings.samples.clean
        if np.isfinite(found[np.isfinite(plain.samples.clean)]).all():
            known.append((float(measure.changes(plain.samples, found).mean()), place, each))
    enough = _ENOUGH * min((change for change, _, _ in known), default=0.0)
    early = [each for change, _, each in known if change <= enough < 0]
    return early[0] if early else min(known)[2] if known else None


def scalings(sizes: Mapping[Branch, float]) -> list[Tried]:
    """What is worth trying where branches add so much."""
    if not sizes:
        return []
    depth = round(1 / math.sqrt(len(sizes)), 3)  # two branches a block: 1/sqrt(2L)
    found = [Tried(dict.fromkeys(sizes, factor), factor) for factor in dict.fromkeys((*FACTORS, depth))]
    level = _levelled(sizes)
    levelled = (
        [level, *(_of(kind, level) for kind in _KINDS)] if all(_of(k, level) for k in _KINDS) else [level]
    )
    single = [dict.fromkeys(_of(kind, sizes), factor) for kind in _KINDS for factor in SMALLER]
    return [*(Tried(of, None) for of in (*levelled, *single) if of), *found]


def _of(kind: Sublayer, by_branch: Mapping[Branch, float]) -> dict[Branch, float]:
    return {branch: value for branch, value in by_branch.items() if branch.sublayer == kind}


def _levelled(sizes: Mapping[Branch, float]) -> dict[Branch, float]:
    """Factors that bring the branches that stand out to the median of their kind."""
    found = {}
    for kind in _KINDS:
        mine = {branch: size for branch, size in _of(kind, sizes).items() if size > 0}
        middle = median(mine.values()) if mine else 0.0
        for branch, size in mine.items():
            if not 1 / STANDS_OUT <= size / middle <= STANDS_OUT:
                found[branch] = float(f"{middle / size:.3g}")
    return found


def _growth(model: Any, measure: Loss, feeds: Sequence[Fed], scaling: Scaling, seed: int) -> Array | None:
    """How the gradient at the first block relates to that at the last, before and after, as `_change`."""
    samples, documents = [], []
    for fed in feeds:
        for batch in first(fed, CHOOSING).batches:
            whole = padded_behind(batch)
            for row, document in enumerate(batch.documents):
                samples.append(whole.only(row, int(whole.tokens[row].sum())))
                documents.append(f"{fed.name}/{document}")
    before, after = (gradient_ratios(model, measure, samples, of) for of in ({}, scaling))
    return _change(before, after, documents, seed)


def _change(before: Array, after: Array, documents: Sequence[str], seed: int) -> Array | None:
    """Before, after, and the bounds of after - before, [4]; None where nothing was read."""
    paired = by_document(np.stack([before, after], axis=1), documents)
    paired = paired[np.isfinite(paired).all(1)]
    if not len(paired):
        return None
    interval = studentised_interval(paired[:, 1:] - paired[:, :1], seed=seed)
    return np.array([*paired.mean(0), interval.low[0], interval.high[0]])


def _remedy(best: Tried, measure: Loss, before: Readings, after: Readings, seed: int) -> Remedy:
    """What the loss does; whose it is and what the finding's metric does is for the caller to say."""
    effect, low, high, n = None, None, None, 0
    if np.isfinite(after.samples.clean[np.isfinite(before.samples.clean)]).all():
        changes = measure.changes(before.samples, after.samples.clean)[:, None]
        judged = paired_changes(changes, margins=measure.margin(before.samples), seed=seed)
        effect, low, high = (rounded(float(column[0])) for column in judged[:3])
        n = judged.n
    scaled = tuple(ScaledBranch(block=b.block, sublayer=b.sublayer, factor=f) for b, f in best.of.items())
    return Remedy(
        finding="",
        remedy="rescaled",
        factor=best.factor,
        scaled=scaled if best.factor is None else (),
        measure=measure.name,
        unit=measure.unit,
        effect=effect,
        low=low,
        high=high,
        n=n,
        helps=False if effect is None else None if high is None else high < 0,
    )


def _with(remedy: Remedy, finding: str, metric: str, change: Array | None) -> Remedy:
    if change is None:
        return replace(remedy, finding=finding)
    before, after, low, high = (rounded(float(value)) for value in change)
    return replace(
        remedy,
        finding=finding,
        metric=metric,
        before=before,
        after=after,
        change_low=low,
        change_high=high,
    )
