"""Tries on the checkpoint what may mend a finding without training: what it does to the loss, and to the head."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import torch

from audit.interventions.ablation import Ablation, Cut, cooled
from audit.interventions.costs import Cost, costs
from audit.interventions.effects import Loss, objective
from audit.interventions.halves import first
from audit.interventions.readings import Array, Fed
from audit.interventions.trials import Bench, tried, way_through
from audit.metrics.attention_entropy import METRIC as ENTROPY
from audit.models.loading import LoadedModel
from audit.models.observing import observe
from audit.numerics import rounded
from audit.observations import AttentionObservation
from audit.patterns import Stored
from audit.results import Depth, Finding, Remedy
from audit.results.redundancy import DropCurve
from audit.results.subject import LayerCoverage
from audit.results.trainability import Trainability
from audit.statistics.bootstrap import by_document, studentised_interval

LIMITS: dict[Depth, int | None] = {"standard": 3, "full": None}  # findings; each takes half a dozen passes
FACTORS = (0.5, 0.25, 0.125, 0.0625, 0.03125)  # of the scores; chosen on the texts that the finding rests on
CHOOSING = 16  # documents of each probe
_NAMED = 4  # branches named in a sentence
_COOLED = ("entropy_collapse", "collapsed_head")
_DROPPED = ("lazy_layer", "redundant_layer", "attention_as_mlp")


class _Wanted(NamedTuple):
    finding: Finding
    remedy: Literal["cooled", "centred"]
    cuts: tuple[Cut, ...]  # of which the best is taken


def remedies(
    findings: Sequence[Finding],
    loaded: LoadedModel,
    *,
    layers: Sequence[LayerCoverage],
    detection: Sequence[Fed],
    confirmation: Sequence[Fed],
    limit: int | None,
    seed: int,
) -> tuple[Remedy, ...]:
    """What each remedy that needs no training does, for the first `limit` findings that have one.

    How far scores are scaled down is chosen on the texts that findings rest on; the effect, paired by document, is
    measured on the others. Nothing is tried on a model that has no loss, or none that is of use: what changes an
    encoder's output is not known to be for the better.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    wanted = [each for finding in findings if (each := _wanted(finding)) is not None][:limit]
    measure = objective(loaded, seed=seed)
    if not wanted or not isinstance(measure, Loss) or not any(fed.batches for fed in confirmation):
        return ()
    bench = Bench(loaded.model, layers, measure, {})
    way = way_through(bench, confirmation[0].batches[0])
    names = {fed.name for fed in confirmation}
    choosing = [first(fed, CHOOSING) for fed in detection if fed.name in names]
    found = tried(bench, way, choosing, list(dict.fromkeys(cut for each in wanted for cut in each.cuts)))
    guessed = costs(found, measure, seed=seed)
    best = {each.finding.id: _best(each.cuts, guessed) for each in wanted}
    chosen = {id_: cut for id_, cut in best.items() if cut is not None}
    shown = tried(bench, way, confirmation, list(dict.fromkeys(chosen.values())))
    if measure.unusable(shown.samples) is not None:
        return ()
    measured = costs(shown, measure, seed=seed)
    heads = _Entropies([cut[0] for cut in chosen.values() if cut[0].replacement == "cooled"])
    for batch in (batch for fed in confirmation for batch in fed.batches) if heads.wanted else ():
        observe(loaded.model, batch, heads, layers=layers)
    return tuple(
        _remedy(each, cut, measured[cut], measure, heads.change(cut[0], shown.samples.documents, seed))
        for each in wanted
        if (cut := chosen.get(each.finding.id)) in measured and cut is not None
    )


def _wanted(finding: Finding) -> _Wanted | None:
    layer, head = finding.layer, finding.head
    if finding.severity == "info" or layer is None:
        return None
    if finding.rule in _COOLED and head is not None:
        cuts = [
            Ablation(target="head", layer=layer, heads=(head,), replacement="cooled", factor=factor)
            for factor in FACTORS
        ]
        return _Wanted(finding, "cooled", tuple((cut,) for cut in cuts))
    if finding.rule == "rank_collapse_width":
        return _Wanted(
            finding, "centred", ((Ablation(target="attention", layer=layer, replacement="centred"),),)
        )
    return None


def _best(cuts: Sequence[Cut], found: Mapping[Cut, Cost]) -> Cut | None:
    known = [
        (effect, place)
        for place, cut in enumerate(cuts)
        if cut in found and (effect := found[cut].effect) is not None
    ]
    return cuts[min(known)[1]] if known else None


class _Entropies:
    """A receiver: attention entropy of some heads as they are and cooled; nothing before a head's layer is changed."""

    def __init__(self, wanted: Sequence[Ablation]) -> None:
        self.wanted = list(dict.fromkeys(wanted))
        self._read: dict[Ablation, list[Array]] = {each: [] for each in self.wanted}

    def on_attention(self, observation: AttentionObservation) -> None:
        """One layer of one batch."""
        for each in self.wanted:
            if each.layer == observation.layer and observation.scores is not None:
                scores = torch.where(observation.visible, observation.scores, -torch.inf)
                after = replace(
                    observation,
                    source=Stored(cooled(scores, each.factor).to(scores), observation.visible),
                )
                both = [ENTROPY.compute(seen)[:, each.heads[0]] for seen in (observation, after)]
                self._read[each].append(torch.stack(both, 1).double().cpu().numpy())

    def change(self, of: Ablation, documents: Sequence[str], seed: int) -> Array | None:
        """Before, after, and the bounds of after - before, [4]; None where nothing was read."""
        if not self._read.get(of):
            return None
        before, after = by_document(np.concatenate(self._read[of]), documents).T
        interval = studentised_interval((after - before)[:, None], seed=seed)
        return np.array([np.nanmean(before), np.nanmean(after), interval.low[0], interval.high[0]])


def _remedy(each: _Wanted, cut: Cut, cost: Cost, measure: Loss, change: Array | None) -> Remedy:
    before, after, low, high = (None,) * 4 if change is None else [rounded(float(value)) for value in change]
    return Remedy(
        finding=each.finding.id,
        remedy=each.remedy,
        factor=cut[0].factor if each.remedy == "cooled" else None,
        measure=measure.name,
        unit=measure.unit,
        effect=cost.effect,
        low=cost.low,
        high=cost.high,
        n=cost.n,
        helps=False if cost.effect is None else None if cost.high is None else cost.high < 0,
        metric=None if change is None else ENTROPY.name,
        before=before,
        after=after,
        change_low=low,
        change_high=high,
    )


def with_remedies(
    findings: Sequence[Finding],
    found: Sequence[Remedy],
    curves: Sequence[DropCurve],
    untrained: Trainability | None,
) -> tuple[Finding, ...]:
    """`findings`, each with what was tried to mend it, in words; those that have no such remedy as they were."""
    by_id = {remedy.finding: remedy for remedy in found}
    return tuple(
        replace(finding, remedy=words)
        if (words := _words(finding, by_id.get(finding.id), curves, untrained))
        else finding
        for finding in findings
    )


def _words(
    finding: Finding, remedy: Remedy | None, curves: Sequence[DropCurve], untrained: Trainability | None
) -> str:
    parts = [] if remedy is None else [_told(remedy)]
    if finding.rule in ("rank_collapse_width", "init_rank_collapse") and untrained is not None:
        profile = untrained.profile
        parts.append(
            "computed for the checkpoint's initialisation, by the theory: with the mean taken out of attention the stable "
            f"rank of the tokens after the last block goes from {profile.stable_rank[-1]:.3g} to "
            f"{profile.stable_rank_centred[-1]:.3g} and their cosine from {profile.similarity[-1]:.2f} to "
            f"{profile.similarity_centred[-1]:.2f}"
        )
    if finding.rule in _DROPPED and "effect" in finding.confirmation.details:
        details, harmless = finding.confirmation.details, [c for c in curves if c.harmless]
        curve = (
            f"; the drop curve has {harmless[0].harmless} of {harmless[0].of} {harmless[0].kind} that can go"
            if harmless
            else ""
        )
        parts.append(
            f"tried: left out, {details['measure']} {_estimate(details['effect'], details['low'], details['high'])} "
            f"{details['unit']} on {details['n']} documents{curve} (see Redundancy)"
        )
    return "; ".join(parts)


def _told(remedy: Remedy) -> str:
    verdict = {True: "it helps", False: "it does not help for certain", None: "too few documents to tell"}[
        remedy.helps
    ]
    if remedy.low is not None and remedy.low > 0:
        verdict = "it does harm: the trained weights have settled on the scale they have"
        verdict = verdict if remedy.remedy == "rescaled" else "it does harm"
    effect = _estimate(remedy.effect, remedy.low, remedy.high)
    told = (
        f"tried: {_done(remedy)}: {remedy.measure} {effect} {remedy.unit} on {remedy.n} documents, {verdict}"
    )
    return told + _metric_told(remedy)


def _done(remedy: Remedy) -> str:
    if remedy.remedy == "cooled":
        return f"scores of the head scaled down to {remedy.factor:g} of what they are"
    if remedy.remedy == "centred":
        return "even attention taken out of the layer's patterns"
    if remedy.factor is not None:
        return f"all that attention and MLPs add to the residual stream scaled by {remedy.factor:g}"
    if len(remedy.scaled) > 1 and len({(each.sublayer, each.factor) for each in remedy.scaled}) == 1:
        each = remedy.scaled[0]
        name = "the MLPs add" if each.sublayer == "mlp" else "attention adds"
        return f"what {name} to the residual stream scaled by {each.factor:g} in {len(remedy.scaled)} blocks"
    some = [
        f"{'MLP' if each.sublayer == 'mlp' else each.sublayer} of block {each.block} by {each.factor:g}"
        for each in remedy.scaled
    ]
    rest = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
    return (
        f"what stands out brought to the size of the rest ({', '.join(some[:_NAMED])}{rest}), of what is added to the "
        "residual stream"
    )


def _metric_told(remedy: Remedy) -> str:
    if remedy.before is None or remedy.after is None:
        return ""
    name = "entropy of the head" if remedy.metric == ENTROPY.name else remedy.metric
    words = f"; {name} from {remedy.before:.3g} to {remedy.after:.3g}"
    if remedy.change_low is None or remedy.change_high is None:
        return words
    return f"{words}, a change of [{remedy.change_low:+.3g}, {remedy.change_high:+.3g}]"


def _estimate(effect: float | None, low: float | None, high: float | None) -> str:
    if effect is None:
        return "not finite any more, in"
    return f"{effect:+.4f}" + ("" if low is None or high is None else f" [{low:+.4f}, {high:+.4f}]")
