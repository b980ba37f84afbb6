"""Takes out what was flagged, on texts it was not flagged on, and says which findings that bears out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from audit.interventions.ablation import Means
from audit.interventions.candidates import Budget, Candidate, candidates
from audit.interventions.effects import objective
from audit.interventions.judgement import not_attempted, shown
from audit.interventions.means import mean_head_outputs
from audit.interventions.readings import Fed
from audit.interventions.representation import Representation
from audit.interventions.rounding import rounding_effect
from audit.interventions.rounds import First, Second, Session, first_round, second_round
from audit.interventions.trials import Bench, way_through
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.observations import Batch
from audit.results import Confirmation, Finding
from audit.results.subject import LayerCoverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmations:
    """What taking things out showed; effects are in `unit`, larger is worse."""

    by_finding: Mapping[
        str, Confirmation
    ]  # by the finding's id; findings that no ablation speaks to are absent
    measure: str | None = None  # None where nothing could be measured
    unit: str | None = None
    level: float | None = None  # of the unchanged model
    margin: float | None = None
    documents: int = 0
    matter: tuple[str, ...] = ()  # findings whose subject looks idle and is not
    left_out: tuple[str, ...] = ()  # what the budget did not cover
    together: dict[str, Any] | None = None  # the cost of taking out all that was confirmed, at once
    rounding: float | None = None  # the effect of bf16 rounding alone, where effects are of representations
    passes: float = 0.0  # what all this cost, in plain passes over the confirmation texts


def confirm(
    findings: Sequence[Finding],
    loaded: LoadedModel,
    *,
    layers: Sequence[LayerCoverage],
    detection: Sequence[Fed],
    confirmation: Sequence[Fed],
    budget: Budget,
    seed: int,
) -> Confirmations:
    """What taking out the subject of each finding costs, on texts that the findings do not rest on.

    Heads are held at their mean over `detection`, attention sublayers and blocks skipped; where that is harmless, the
    other replacements are tried as well, as far as the budget goes. All confirmations share an error of 5% (Holm).

    Args:
        findings: of the rules; what no ablation can bear out is passed over.
        loaded: the model; it is left as it was.
        layers: `coverage.layers`.
        detection: the texts that the findings were detected on.
        confirmation: other texts, of natural language or code; 16 documents are the least that decides.
        budget: bounds the work.
        seed: chooses masks and resamples.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    wanted = candidates(findings)
    chosen = wanted[: budget.findings]
    measure = objective(loaded, seed=seed)
    if isinstance(measure, str):
        return _nothing(wanted, measure)
    if not chosen or not any(fed.batches for fed in confirmation):
        return _nothing(wanted, "there is no text to confirm it on")
    bench = Bench(loaded.model, layers, measure, _means(chosen, loaded, layers, detection))
    session = Session(bench, way_through(bench, confirmation[0].batches[0]), confirmation, seed)
    if (why := _unusable(session)) is not None:
        return _nothing(wanted, f"no claim about what it costs: {why}")
    first = first_round(session, chosen)
    harmless = [each for each in chosen if _said(each, first, {}).status == "confirmed"]
    spent = first.passes + (1.0 if bench.means else 0.0)  # the means cost a pass over as many texts
    second = second_round(session, first, harmless, budget, spent=spent)
    return _assembled(session, first, second, wanted, len(chosen))


class _OneBatch(NamedTuple):
    """A feed cut short."""

    name: str
    batches: tuple[Batch, ...]


def _nothing(wanted: Sequence[Candidate], why: str) -> Confirmations:
    return Confirmations(by_finding={each.finding.id: not_attempted(why) for each in wanted})


def _means(
    chosen: Sequence[Candidate], loaded: LoadedModel, layers: Sequence[LayerCoverage], feeds: Sequence[Fed]
) -> Means:
    cuts = (cut for each in chosen for cut in each.cuts)
    wanted = {a.layer for cut in cuts for a in cut if a.replacement == "mean"}
    return mean_head_outputs(loaded.model, feeds, layers=layers, wanted=wanted)


def _unusable(session: Session) -> str | None:
    """Why the unchanged model allows no claim; where it does, one batch is mostly enough to see it."""
    why = None
    for feeds in ([_OneBatch(session.feeds[0].name, session.feeds[0].batches[:1])], session.feeds):
        samples = session._replace(feeds=feeds).tried([]).samples
        if (why := session.bench.objective.unusable(samples)) is None:
            return None
    return why


def _said(candidate: Candidate, first: First, others: Mapping[Any, Any]) -> Confirmation:
    why = first.refusal(candidate)
    return (
        first.decision(candidate, others) if why is None else not_attempted(f"it cannot be taken out: {why}")
    )


def _assembled(
    session: Session, first: First, second: Second, wanted: Sequence[Candidate], chosen: int
) -> Confirmations:
    said = {each.finding.id: _said(each, first, second.costs) for each in wanted[:chosen]}
    beyond = not_attempted(f"the budget of {chosen} findings went to others: --depth full confirms every one")
    left = {each.finding.id: beyond for each in wanted[chosen:]}
    measure = session.bench.objective
    together = second.costs.get(second.together) if second.together else None
    yardstick = isinstance(measure, Representation)
    return Confirmations(
        by_finding=said | left,
        measure=measure.name,
        unit=measure.unit,
        level=rounded(first.scale.level),
        margin=rounded(first.scale.margin),
        documents=max((cost.n for cost in first.costs.values()), default=0),
        matter=tuple(id_ for id_, each in said.items() if each.details.get("matters")),
        left_out=(*left, *second.left_out),
        together=None if together is None else shown(together),
        rounding=rounding_effect(session.bench.model, session.feeds, measure, first.samples)
        if yardstick
        else None,
        passes=round(first.passes + second.passes + (1.0 if session.bench.means else 0.0), 2),
    )
