"""One audit, top to bottom: load, feed, observe, measure, judge."""

import dataclasses
import datetime as dt
import time
from pathlib import Path
from typing import NamedTuple

import torch

from audit import plan as planning
from audit.definitions import Quantity
from audit.diagnosis import diagnose
from audit.exhibits import draw_curves, draw_diagram, draw_patterns
from audit.feeding import feeds_of, texts_of
from audit.history import trained
from audit.initial import initial
from audit.interventions.confirm import Confirmations
from audit.interventions.experiments import Texts, asked_for, confirmed, curves, mended
from audit.interventions.remedies import with_remedies
from audit.judge import Judged, borne_out, judge
from audit.known import Known
from audit.measuring import Measured, measured
from audit.models.allocator import keep_freed
from audit.models.devices import used
from audit.models.loading import LoadedModel, load_model
from audit.models.streaming import Room
from audit.probes.sampling import Feed
from audit.progress import Progress
from audit.provenance import provenance, replay
from audit.request import Request
from audit.results import SCHEMA_VERSION, Ablation, Audit, Exhibit, Finding, MethodRecord, Remedy
from audit.results.redundancy import DropCurve
from audit.results.subject import Skipped
from audit.results.trainability import Diagram, Trainability
from audit.results.training import Training
from audit.similarity import draw_similarity, kernels_of
from audit.store import EXHIBITS
from audit.tidying import Tidy
from audit.verdict import unmet, verdict


def run(
    asked: Request,
    folder: Path,
    progress: Progress,
    *,
    before: Audit | None = None,
    earlier: Known | None = None,
) -> Audit:
    """The audit; `measurements.parquet` and the exhibits are written into `folder` on the way: see `found`."""
    started, clock = dt.datetime.now(dt.UTC), time.monotonic()
    stand, known, judged, tried = found(asked, folder, progress, before=before, earlier=earlier)
    record = dataclasses.replace(
        asked.policy.record(started.date()),
        unmet=tuple(unmet(asked.policy, judged.checks, known.coverage, known.skew)),
    )
    return Audit(
        schema_version=SCHEMA_VERSION,
        audit_id=asked.audit_id,
        measurement_id=asked.measurement_id,
        subject=known.subject,
        plan=planning.record(asked.plan, (*asked.probes, *asked.pairs, *asked.published)),
        policy=record,
        provenance=provenance(asked, used(stand.loaded.model), started, time.monotonic() - clock),
        coverage=known.coverage,
        measurements=known.measurements,
        methods={metric.name: _method(metric) for metric in asked.metrics},
        rules=judged.rules,
        checks=judged.checks,
        findings=tried.findings,
        exhibits=_drawn(stand, known, tried, folder=folder, show_text=asked.plan.show_text),
        verdict=verdict(tried.findings, record),
        ablation=tried.ablation,
        nulls=known.nulls,
        trainability=stand.here,
        skew=known.skew,
        published=known.published,
        drop_curves=tried.dropped,
        training=stand.history,
        remedies=tried.remedies,
        reach=known.reach,
        diagnosis=diagnose(tried.findings, stand.here, stand.history),
    )


class Found(NamedTuple):
    """All that takes long."""

    stand: "_Stand"
    known: Measured
    judged: Judged
    tried: "_Tried"


def found(
    asked: Request,
    folder: Path,
    progress: Progress,
    *,
    before: Audit | None = None,
    earlier: Known | None = None,
) -> Found:
    """What an audit rests on: measured, judged and tried; `measurements.parquet` is written into `folder`.

    The measurements are taken over from `before`, an audit with the same ones under another policy, where given:
    then they are judged, confirmed and drawn anew, as they would have been at first, and not measured again.
    Where `earlier` audits differ in their metrics alone, those that they lack are measured.
    """
    progress = Tidy(progress)
    stand, earlier = _stand(asked, folder, progress), earlier or Known(asked)
    known = (
        _taken_over(before)
        if before
        else measured(
            earlier,
            stand.loaded,
            stand.feeds,
            stand.unfed,
            folder=folder,
            progress=progress,
        )
    )
    judged = _judged(asked, stand, known)
    dropped = before.drop_curves if before else earlier.drop_curves
    tried = _tried(asked, stand, known, judged, dropped=dropped, progress=progress)
    return Found(stand, known, judged, tried)


def ready(asked: Request, folder: Path) -> LoadedModel:
    """The checkpoint in memory, as the plan wants it; `folder` is for what of it must stay on disk."""
    plan = asked.plan
    if plan.threads:
        torch.set_num_threads(plan.threads)
    keep_freed()
    room = Room(plan.max_memory, folder) if plan.max_memory else None
    return load_model(asked.checkpoint, dtype=getattr(torch, plan.dtype), device=plan.device, room=room)


class _Stand(NamedTuple):
    """The checkpoint in memory and what lies ready for it."""

    loaded: LoadedModel
    feeds: tuple[Feed, ...]
    unfed: tuple[Skipped, ...]  # what could not be had, and why
    untrained: Diagram | Skipped  # where its configuration stood before training
    history: Training | None  # what its training left beside it

    @property
    def here(self) -> Trainability | None:
        return self.untrained.here if isinstance(self.untrained, Diagram) else None


def _stand(asked: Request, folder: Path, progress: Progress) -> _Stand:
    with progress.stage("load", 1) as advance:
        loaded = ready(asked, folder)
        feeds, unfed = feeds_of(asked, loaded)
        untrained = initial(asked.checkpoint)
        advance(1)
    missing = unfed + ((untrained,) if isinstance(untrained, Skipped) else ())
    return _Stand(loaded, feeds, missing, untrained, trained(asked.checkpoint.training))


def _taken_over(before: Audit) -> Measured:
    return Measured(
        before.subject,
        before.coverage,
        before.measurements,
        before.nulls,
        before.skew,
        before.published,
        before.reach,
    )


def _judged(asked: Request, stand: _Stand, known: Measured) -> Judged:
    return judge(
        known.subject,
        known.coverage,
        known.measurements,
        asked.policy,
        reproduce=replay(asked.plan),
        nulls=known.nulls,
        trainability=stand.here,
        skew=known.skew,
        training=stand.history,
        reach=known.reach,
    )


class _Tried(NamedTuple):
    """What experiments on the model said, and what became of the findings by them."""

    findings: tuple[Finding, ...]
    ablation: Ablation | None
    dropped: tuple[DropCurve, ...]
    remedies: tuple[Remedy, ...]


def _tried(
    asked: Request,
    stand: _Stand,
    known: Measured,
    judged: Judged,
    *,
    dropped: tuple[DropCurve, ...],
    progress: Progress,
) -> _Tried:
    plan, loaded, layers = asked.plan, stand.loaded, known.coverage.layers
    texts = texts_of(asked, loaded, stand.feeds) if asked_for(plan) else Texts(stand.feeds, ())
    taken_out = confirmed(plan, loaded, layers, texts, judged.findings, progress=progress)
    dropped = curves(
        plan,
        loaded,
        layers,
        texts,
        known.measurements,
        known=dropped,
        progress=progress,
    )
    findings = borne_out(judged.findings, taken_out.by_finding if taken_out else {}, asked.policy)
    remedies = mended(plan, loaded, layers, texts, findings, progress=progress)
    return _Tried(
        with_remedies(findings, remedies, dropped, stand.here), _ablation(taken_out), dropped, remedies
    )


def _drawn(
    stand: _Stand,
    known: Measured,
    tried: _Tried,
    *,
    folder: Path,
    show_text: bool,
) -> tuple[Exhibit, ...]:
    loaded, feeds, layers = stand.loaded, stand.feeds, known.coverage.layers
    kernels = known.kernels or kernels_of(loaded, feeds[0], layers)
    into = folder / EXHIBITS
    into.mkdir()
    return (
        *draw_patterns(tried.findings, loaded, feeds, layers, into, show_text=show_text),
        *draw_similarity(kernels, feeds[0], layers, into),
        *draw_curves(tried.dropped, into),
        *draw_diagram(stand.untrained, into),
    )


def _ablation(found: Confirmations | None) -> Ablation | None:
    if found is None:
        return None
    return Ablation(**{field.name: getattr(found, field.name) for field in dataclasses.fields(Ablation)})


def _method(metric: Quantity) -> MethodRecord:
    return MethodRecord(
        title=metric.title,
        summary=metric.summary,
        unit=metric.unit,
        axes=metric.axes,
        span=metric.span,
        direction=metric.direction,
        healthy=metric.healthy,
        formula=metric.formula,
        reference=metric.reference,
        limits=metric.limits,
    )
