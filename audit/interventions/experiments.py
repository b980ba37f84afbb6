"""What is tried on a model once it was judged: flagged parts are taken out, and blocks left out one after another."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from audit.interventions.candidates import BUDGETS
from audit.interventions.confirm import Confirmations, confirm
from audit.interventions.curve import CHOSEN_BY, EXTENTS, Influence, drop_curves
from audit.interventions.halves import first
from audit.interventions.readings import Fed
from audit.interventions.remedies import LIMITS, remedies
from audit.interventions.rescaling import rescaled
from audit.models.loading import LoadedModel
from audit.progress import Progress
from audit.results import Finding, Measurement, Plan, Remedy
from audit.results.redundancy import DropCurve
from audit.results.subject import LayerCoverage


class Texts(NamedTuple):
    """No document stands in both."""

    detection: Sequence[Fed]  # that the findings rest on
    confirmation: Sequence[Fed]  # text only; what things cost is measured on these


def asked_for(plan: Plan) -> bool:
    """Whether anything is to be taken out at all."""
    return plan.confirm and plan.depth in BUDGETS


def confirmed(
    plan: Plan,
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    texts: Texts,
    findings: Sequence[Finding],
    *,
    progress: Progress,
) -> Confirmations | None:
    """What taking out the flagged parts costs; None where nothing was flagged or no ablation is asked for."""
    budget = BUDGETS.get(plan.depth)
    if budget is None or not plan.confirm or not findings:
        return None
    with progress.stage("confirm", 1) as advance:
        made = confirm(
            findings,
            loaded,
            layers=layers,
            detection=texts.detection,
            confirmation=texts.confirmation,
            budget=budget,
            seed=plan.seed,
        )
        advance(1)
    return made


def mended(
    plan: Plan,
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    texts: Texts,
    findings: Sequence[Finding],
    *,
    progress: Progress,
) -> tuple[Remedy, ...]:
    """What the remedies do that can be tried without training; none where nothing is asked for or flagged."""
    if plan.depth not in LIMITS or not plan.confirm or not findings:
        return ()
    with progress.stage("remedies", 1) as advance:
        made = remedies(
            findings,
            loaded,
            layers=layers,
            detection=texts.detection,
            confirmation=texts.confirmation,
            limit=LIMITS[plan.depth],
            seed=plan.seed,
        ) + rescaled(
            findings,
            loaded,
            detection=texts.detection,
            confirmation=texts.confirmation,
            seed=plan.seed,
        )
        advance(1)
    return made


def curves(
    plan: Plan,
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    texts: Texts,
    measurements: Mapping[str, Mapping[str, Measurement]],
    *,
    known: tuple[DropCurve, ...],
    progress: Progress,
) -> tuple[DropCurve, ...]:
    """What it costs to leave out ever more blocks and attention sublayers; none where no ablation is asked for.

    `known` are those of an earlier audit with the same measurements: no policy changes them.
    """
    extent = EXTENTS.get(plan.depth)
    if extent is None or not plan.confirm:
        return ()
    if known:
        return known
    probes = [fed.name for fed in texts.confirmation]
    with progress.stage("drop curves", 1) as advance:
        made = drop_curves(
            loaded,
            layers=layers,
            influence={
                kind: influence(metric, probes, measurements.get(metric, {}))
                for kind, metric in CHOSEN_BY.items()
            },
            texts=[first(fed, extent.documents) for fed in texts.confirmation],
            steps=extent.steps,
            seed=plan.seed,
        )
        advance(1)
    return made


def influence(metric: str, probes: Sequence[str], found: Mapping[str, Measurement]) -> Influence:
    """Mean over the text probes of a metric of layers; None where a probe has no value for a layer."""
    rows = [found[name].value for name in probes if name in found]
    known = [row for row in rows if isinstance(row, list)]
    if not known or len(known) < len(rows):
        return f"{metric}, by which the order is chosen, was not measured"
    return [_mean(values) for values in zip(*known, strict=True)]


def _mean(values: Sequence[object]) -> float | None:
    numbers = [value for value in values if isinstance(value, float)]
    return sum(numbers) / len(numbers) if len(numbers) == len(values) else None
