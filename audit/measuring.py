"""Everything known of a checkpoint before anything is judged: what it was fed, what was seen, what that amounts to."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from audit.errors import NothingObserved
from audit.feeding import cut, longest_text, most_like_prose, probe_coverage
from audit.gradients import Gradients
from audit.interventions.reach import reach
from audit.known import Known
from audit.measure import WEIGHTS, Recorder, Table, not_finite, skipped, summarised, weighed
from audit.models.coverage import observed, survey
from audit.models.loading import LoadedModel
from audit.models.positions import learned_positions
from audit.models.weights import nonfinite_tensors, weight_observations
from audit.nulls import Ground, all_nulls
from audit.pieces import Forward, Piece, gather, measure_in_step, pieces
from audit.probes.sampling import Feed
from audit.progress import Progress
from audit.protocol import apart, by_protocol
from audit.request import Request
from audit.results import Measurement, Null
from audit.results.demographics import Published, Skew
from audit.results.reach import Reach
from audit.results.subject import Coverage, LayerCoverage, Skipped, Subject
from audit.sharing import Step, made, once
from audit.similarity import Kernels
from audit.skew.published.survey import Surveyed, survey_published
from audit.skew.survey import survey_skew
from audit.store import MEASUREMENTS


class Measured(NamedTuple):
    """What is known before anything is judged."""

    subject: Subject
    coverage: Coverage
    measurements: dict[str, dict[str, Measurement]]  # metric -> probe -> measurement
    nulls: dict[str, dict[str, Null]]
    skew: tuple[Skew, ...]
    published: tuple[Published, ...]
    reach: Reach | None = None  # at depth full
    kernels: Kernels | None = None  # of the heads, where they were seen on the way


Stage = tuple[str, tuple[Piece, ...]]  # its name, and what is looked at


class _Observed(NamedTuple):
    layers: tuple[LayerCoverage, ...]  # with what became of each
    by_probe: dict[str, dict[str, Measurement]]
    kernels: Kernels | None  # None where another attempt or process saw the first batch


def measured(
    known: Known,
    loaded: LoadedModel,
    feeds: tuple[Feed, ...],
    unfed: tuple[Skipped, ...],
    *,
    folder: Path,
    progress: Progress,
) -> Measured:
    """What is seen on `feeds`, but for what is `known`; `unfed` is what could not be fed, and why.

    `measurements.parquet` is written into `folder`.
    """
    asked, before = known.asked, known.audit
    if taken := len(asked.metrics) - len(known.missing.metrics):
        with progress.stage("metrics taken over", taken) as advance:
            advance(taken)
    seen = _observed(known, loaded, feeds, folder=folder, progress=progress)
    subject = _subject(loaded, seen.layers)
    measurements = known.joined(_by_metric(known.missing, loaded, feeds, seen, progress))
    if subject.nonfinite:
        measurements = not_finite(measurements)
    ground = Ground(
        plan=asked.plan,
        metrics=asked.metrics,
        measurements=measurements,
        layers=seen.layers,
        feeds=feeds,
        fresh=known.fresh,
    )
    coverage = Coverage(
        layers=seen.layers,
        skipped=unfed + skipped(measurements),
        probes=tuple(probe_coverage(fed) for fed in feeds),
    )
    people = (before.skew, before.published) if before else _people(asked, loaded, seen.layers, progress)
    return Measured(
        subject,
        coverage,
        measurements,
        all_nulls(ground, loaded),
        *people,
        before.reach if before else _reach(asked, loaded, feeds, progress),
        seen.kernels,
    )


def _stages(
    known: Known,
    fed: Feed,
    recorder: Recorder,
    *,
    forward: Forward,
    gradients: Gradients,
) -> Iterator[Stage]:
    """What is looked at of a probe, in pieces: all of it forward, some of it backward where there is a loss."""
    asked = known.missing
    if not known.layers:
        yield f"observe {fed.name}", pieces(asked, fed, fed.batches, forward, recorder)
    if samples := gradients.samples(fed):
        backward = pieces(asked, fed, samples, gradients.record, recorder, gradients=True)
        yield f"gradients {fed.name}", backward


def _people(
    asked: Request, loaded: LoadedModel, layers: Sequence[LayerCoverage], progress: Progress
) -> tuple[tuple[Skew, ...], tuple[Published, ...]]:
    """What becomes of groups of people, and what the published data sets say."""
    skew = tuple(
        survey_skew(loaded, probe, layers=layers, plan=asked.plan, progress=progress) for probe in asked.pairs
    )
    scored = made(
        Surveyed,
        [
            Step(
                ["published", probe.name],
                partial(survey_published, loaded, probe, layers=layers, plan=asked.plan, progress=progress),
            )
            for probe in asked.published
        ],
    )
    skew += tuple(each.skew for each in scored if each.skew)
    return skew, tuple(each.published for each in scored)


def _reach(asked: Request, loaded: LoadedModel, feeds: Sequence[Feed], progress: Progress) -> Reach | None:
    if asked.plan.depth != "full":
        return None
    with progress.stage("reach", 1) as advance:
        text = longest_text(asked, feeds)
        found = once(Reach, ["reach"], lambda: reach(loaded, text, seed=asked.plan.seed))
        advance(1)
    return found


def _by_metric(
    asked: Request, loaded: LoadedModel, feeds: tuple[Feed, ...], seen: _Observed, progress: Progress
) -> dict[str, dict[str, Measurement]]:
    by_probe = dict(seen.by_probe)
    _, published = apart(asked.metrics)
    if published and (probe := most_like_prose(asked, feeds)) is not None:
        by_probe[probe.name] |= by_protocol(
            loaded,
            seen.layers,
            published,
            lambda wanted: cut(
                probe, loaded, dataclasses.replace(asked.plan, samples=wanted[0], max_length=wanted[1])
            ),
            progress=progress,
        )
    sharp = loaded.streamed is None and any(metric.name == "query_key_norm" for metric in asked.metrics)
    by_probe[WEIGHTS] = weighed(
        asked.metrics, seen.layers, weight_observations(loaded.model, seen.layers, with_products=sharp)
    )
    return {
        metric.name: {probe: found[metric.name] for probe, found in by_probe.items() if metric.name in found}
        for metric in asked.metrics
    }


def _subject(loaded: LoadedModel, layers: Sequence[LayerCoverage]) -> Subject:
    table = learned_positions(loaded.model)
    return dataclasses.replace(
        loaded.subject,
        positions=table.rows,
        untrained_positions=table.untrained,
        nonfinite=nonfinite_tensors(loaded.model),
        heads=max(layer.heads for layer in layers),
        kv_heads=max(layer.kv_heads for layer in layers),
    )


class _Opened(NamedTuple):
    """A probe that is about to be looked at."""

    fed: Feed
    recorder: Recorder
    stages: tuple[Stage, ...]


def _opened(
    known: Known,
    fed: Feed,
    layers: Sequence[LayerCoverage],
    *,
    forward: Forward,
    gradients: Gradients,
) -> _Opened:
    asked = known.missing
    usual, _ = apart(asked.metrics)
    recorder = Recorder(usual, layers, fed.samples, spectra=asked.plan.spectra)
    stages = _stages(known, fed, recorder, forward=forward, gradients=gradients)
    return _Opened(fed, recorder, tuple(stages))


def _observed(
    known: Known,
    loaded: LoadedModel,
    feeds: Sequence[Feed],
    *,
    folder: Path,
    progress: Progress,
) -> _Observed:
    asked = known.missing
    usual, layers = apart(asked.metrics)[0], survey(loaded.model)
    seen: set[int] = set()
    by_probe: dict[str, dict[str, Measurement]] = {}
    gradients = Gradients(loaded, layers, usual, asked.plan)
    forward = Forward(loaded, layers, first=feeds[0].batches[0] if feeds else None)
    probes: Iterable[_Opened] = (
        _opened(known, fed, layers, forward=forward, gradients=gradients) for fed in feeds
    )
    if loaded.streamed:
        probes = list(probes)
        every = [piece for probe in probes for _, found in probe.stages for piece in found]
        ours = [piece for piece in every if piece.look is forward]
        with progress.stage("observe all probes", sum(len(piece.batches) for piece in ours)) as advance:
            measure_in_step(ours, loaded, layers, advance)
    with Table(folder / MEASUREMENTS) as table:
        for fed, recorder, stages in probes:
            for name, found in stages:
                with progress.stage(name, sum(len(piece.batches) for piece in found)) as advance:
                    seen |= gather(found, recorder, advance)
            known.write(table, fed.name, recorder.values)
            documents = [document for batch in fed.batches for document in batch.documents]
            by_probe[fed.name] = gradients.explained(
                fed,
                summarised(recorder.values, usual, layers, documents, asked.plan.seed)
                | recorder.sums.measurements(layers),
            )
    layers = known.layers or observed(layers, seen)
    if not any(layer.observed for layer in layers):
        raise NothingObserved(
            f"no attention layer of {asked.checkpoint.model_type!r} could be observed: {layers[0].reason}"
        )
    return _Observed(layers, by_probe, forward.kernels)
