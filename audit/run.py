"""One audit, top to bottom: load, feed, observe, measure, judge."""

import dataclasses
import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from audit import plan as planning
from audit import policy as policies
from audit.definitions import Quantity
from audit.demographics import Skew
from audit.diagnosis import diagnose
from audit.errors import NothingObserved
from audit.exhibits import draw_curves, draw_diagram, draw_patterns
from audit.feeding import cut, feeds_of, most_like_prose, probe_coverage, texts_of
from audit.gradients import Gradients
from audit.history import trained
from audit.initial import initial
from audit.interventions.confirm import Confirmations
from audit.interventions.experiments import Texts, asked_for, confirmed, curves
from audit.judge import borne_out, judge
from audit.measure import WEIGHTS, Recorder, Table, not_finite, skipped, summarised, weighed
from audit.models.coverage import observed, survey
from audit.models.loading import LoadedModel, load_model
from audit.models.observing import Receiver, Together, observe
from audit.models.positions import learned_positions
from audit.models.weights import nonfinite_tensors, weight_observations
from audit.nulls import Ground, all_nulls
from audit.partial import Partial
from audit.probes.sampling import Feed
from audit.progress import Progress
from audit.protocol import apart, by_protocol
from audit.provenance import provenance, replay
from audit.request import Request
from audit.results import (
    SCHEMA_VERSION,
    Ablation,
    Audit,
    Coverage,
    LayerCoverage,
    Measurement,
    MethodRecord,
    Null,
    Skipped,
    Subject,
)
from audit.similarity import Kernels, draw_similarity, kernels_of
from audit.skew.survey import survey_skew
from audit.store import EXHIBITS, MEASUREMENTS
from audit.trainability import Diagram


class Measured(NamedTuple):
    """What is known before anything is judged."""

    subject: Subject
    coverage: Coverage
    measurements: dict[str, dict[str, Measurement]]  # metric -> probe -> measurement
    nulls: dict[str, dict[str, Null]]
    skew: tuple[Skew, ...]
    kernels: Kernels | None = None  # of the heads, where they were seen on the way


def run(
    asked: Request,
    folder: Path,
    progress: Progress,
    *,
    before: Audit | None = None,
    kept: Path | None = None,
) -> Audit:
    """The audit; `measurements.parquet` and the exhibits are written into `folder` on the way.

    The measurements are taken over from `before`, an audit with the same ones under another policy, where given:
    then they are judged, confirmed and drawn anew, as they would have been at first, and not measured again.
    In the folder `kept` is what earlier attempts measured; this one goes on from there and keeps there what it measures.
    """
    started, clock = dt.datetime.now(dt.UTC), time.monotonic()
    if asked.plan.threads:
        torch.set_num_threads(asked.plan.threads)
    with progress.stage("load", 1) as advance:
        loaded = load_model(
            asked.checkpoint, dtype=getattr(torch, asked.plan.dtype), device=asked.plan.device
        )
        feeds, unfed = feeds_of(asked, loaded)
        untrained = initial(asked.checkpoint)
        unfed += (untrained,) if isinstance(untrained, Skipped) else ()
        advance(1)
    if before:
        known = Measured(before.subject, before.coverage, before.measurements, before.nulls, before.skew)
    else:
        known = _measured(asked, loaded, feeds, unfed, folder=folder, kept=kept, progress=progress)
    layers, history = known.coverage.layers, trained(asked.checkpoint.training)
    judged = judge(
        known.subject,
        known.coverage,
        known.measurements,
        asked.policy,
        reproduce=replay(asked.plan),
        nulls=known.nulls,
        trainability=untrained.here if isinstance(untrained, Diagram) else None,
        skew=known.skew,
        training=history,
    )
    texts = texts_of(asked, loaded, feeds) if asked_for(asked.plan) else Texts(feeds, ())
    taken_out = confirmed(asked.plan, loaded, layers, texts, judged.findings, progress=progress)
    dropped = curves(
        asked.plan,
        loaded,
        layers,
        texts,
        known.measurements,
        known=before.drop_curves if before else (),
        progress=progress,
    )
    findings = borne_out(judged.findings, taken_out.by_finding if taken_out else {}, asked.policy)
    kernels = known.kernels or kernels_of(loaded, feeds[0], layers)
    (folder / EXHIBITS).mkdir()
    exhibits = (
        *draw_patterns(findings, loaded, feeds, layers, folder / EXHIBITS, show_text=asked.plan.show_text),
        *draw_similarity(kernels, feeds[0], layers, folder / EXHIBITS),
        *draw_curves(dropped, folder / EXHIBITS),
        *draw_diagram(untrained, folder / EXHIBITS),
    )
    record = asked.policy.record(started.date())
    return Audit(
        schema_version=SCHEMA_VERSION,
        audit_id=asked.audit_id,
        measurement_id=asked.measurement_id,
        subject=known.subject,
        plan=planning.record(asked.plan, (*asked.probes, *asked.pairs)),
        policy=record,
        provenance=provenance(asked, started, time.monotonic() - clock),
        coverage=known.coverage,
        measurements=known.measurements,
        methods={metric.name: _method(metric) for metric in asked.metrics},
        rules=judged.rules,
        checks=judged.checks,
        findings=findings,
        exhibits=exhibits,
        verdict=policies.verdict(findings, judged.checks, asked.policy, record),
        ablation=_ablation(taken_out),
        nulls=known.nulls,
        trainability=untrained.here if isinstance(untrained, Diagram) else None,
        skew=known.skew,
        drop_curves=dropped,
        training=history,
        diagnosis=diagnose(findings, untrained.here if isinstance(untrained, Diagram) else None, history),
    )


class _Observed(NamedTuple):
    layers: tuple[LayerCoverage, ...]  # with what became of each
    by_probe: dict[str, dict[str, Measurement]]
    kernels: Kernels | None  # None where another attempt saw the first batch


def _measured(
    asked: Request,
    loaded: LoadedModel,
    feeds: tuple[Feed, ...],
    unfed: tuple[Skipped, ...],
    *,
    folder: Path,
    kept: Path | None,
    progress: Progress,
) -> Measured:
    layers, by_probe, kernels = _observed(asked, loaded, feeds, folder=folder, kept=kept, progress=progress)
    _, published = apart(asked.metrics)
    if published and (probe := most_like_prose(asked, feeds)) is not None:
        by_probe[probe.name] |= by_protocol(
            loaded,
            layers,
            published,
            lambda wanted: cut(
                probe, loaded, dataclasses.replace(asked.plan, samples=wanted[0], max_length=wanted[1])
            ),
            progress=progress,
        )
    sharp = any(metric.name == "query_key_norm" for metric in asked.metrics)
    by_probe[WEIGHTS] = weighed(
        asked.metrics, layers, weight_observations(loaded.model, layers, with_products=sharp)
    )
    measurements = {
        metric.name: {probe: found[metric.name] for probe, found in by_probe.items() if metric.name in found}
        for metric in asked.metrics
    }
    table = learned_positions(loaded.model)
    subject = dataclasses.replace(
        loaded.subject,
        positions=table.rows,
        untrained_positions=table.untrained,
        nonfinite=nonfinite_tensors(loaded.model),
        heads=max(layer.heads for layer in layers),
        kv_heads=max(layer.kv_heads for layer in layers),
    )
    if subject.nonfinite:
        measurements = not_finite(measurements)
    ground = Ground(
        plan=asked.plan, metrics=asked.metrics, measurements=measurements, layers=layers, feeds=feeds
    )
    coverage = Coverage(
        layers=layers,
        skipped=unfed + skipped(measurements),
        probes=tuple(probe_coverage(fed) for fed in feeds),
    )
    skew = tuple(
        survey_skew(loaded, probe, layers=layers, plan=asked.plan, progress=progress) for probe in asked.pairs
    )
    return Measured(subject, coverage, measurements, all_nulls(ground, loaded), skew, kernels)


def _observed(
    asked: Request,
    loaded: LoadedModel,
    feeds: Sequence[Feed],
    *,
    folder: Path,
    kept: Path | None,
    progress: Progress,
) -> _Observed:
    usual, layers = apart(asked.metrics)[0], survey(loaded.model)
    kernels: Kernels | None = None
    seen: set[int] = set()
    by_probe: dict[str, dict[str, Measurement]] = {}
    gradients = Gradients(loaded, layers, usual, asked.plan)
    with Table(folder / MEASUREMENTS) as table:
        for fed in feeds:
            recorder = Recorder(usual, layers, fed.samples)
            with progress.stage(f"observe {fed.name}", len(fed.batches)) as advance:
                partial = Partial.of(kept, asked, fed)
                done = partial.restore(recorder, seen)
                advance(done)
                for number, batch in enumerate(fed.batches[done:], done + 1):
                    recorder.begin(batch)
                    receiver: Receiver = recorder
                    if fed is feeds[0] and number == 1:
                        kernels = Kernels(layers)
                        receiver = Together(recorder, kernels)
                    seen |= observe(loaded.model, batch, receiver, layers=layers).seen
                    partial.keep(number, recorder, seen)
                    advance(1)
            if backward := gradients.samples(fed):
                with progress.stage(f"gradients {fed.name}", backward) as advance:
                    gradients.record(fed, recorder, advance)
            table.write(fed.name, recorder.values)
            documents = [document for batch in fed.batches for document in batch.documents]
            by_probe[fed.name] = gradients.explained(
                fed,
                summarised(recorder.values, usual, layers, documents, asked.plan.seed)
                | recorder.sums.measurements(layers),
            )
    layers = observed(layers, seen)
    if not seen:
        raise NothingObserved(
            f"no attention layer of {asked.checkpoint.model_type!r} could be observed: {layers[0].reason}"
        )
    return _Observed(layers, by_probe, kernels)


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
