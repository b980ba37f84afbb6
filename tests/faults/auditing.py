"""One audit in this process, as a run does it but for pages and pictures: measure, judge, confirm."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from audit import catalog
from audit import policy as policies
from audit.interventions.candidates import Budget
from audit.interventions.confirm import confirm
from audit.interventions.halves import Half
from audit.judge import borne_out, judge
from audit.measure import WEIGHTS, Recorder, summarised, weighed
from audit.models.coverage import observed, survey
from audit.models.loading import LoadedModel
from audit.models.observing import observe
from audit.models.weights import nonfinite_tensors, weight_observations
from audit.results import Finding, Measurement
from audit.results.subject import Coverage, ProbeCoverage

READ = (  # by some rule
    "attention_entropy", "attention_entropy_without_sinks", "attention_influence", "attention_rank",
    "attention_share", "block_influence", "fixed_column_mass", "head_output_norm", "input_divergence", "mixing_ratio",
    "offset_mass", "output_weight_norm", "shuffled_divergence", "sink_drain", "sink_mass", "token_effective_rank",
    "token_similarity_without_sink", "twin_similarity",
)  # fmt: skip
POLICY = policies.load()


def judged(loaded: LoadedModel, feeds: Sequence[Half], *, seed: int) -> tuple[Finding, ...]:
    """What the rules say of the model as it is now."""
    metrics = tuple(catalog.chosen("metric", READ, catalog.metrics()).values())
    layers, seen = survey(loaded.model), set[int]()
    measured: dict[str, dict[str, Measurement]] = {metric.name: {} for metric in metrics}
    for fed in feeds:
        recorder = Recorder(metrics, layers, len(fed.samples))
        for batch in fed.batches:
            recorder.begin(batch)
            seen |= observe(loaded.model, batch, recorder, layers=layers).seen
        documents = [document for batch in fed.batches for document in batch.documents]
        found = summarised(recorder.values, metrics, layers, documents, seed) | recorder.sums.measurements(
            layers
        )
        for name, measurement in found.items():
            measured[name][fed.name] = measurement
    for name, measurement in weighed(metrics, layers, weight_observations(loaded.model, layers)).items():
        measured[name][WEIGHTS] = measurement
    subject = replace(
        loaded.subject,
        nonfinite=nonfinite_tensors(loaded.model),
        heads=max(layer.heads for layer in layers),
        kv_heads=max(layer.kv_heads for layer in layers),
    )
    coverage = Coverage(layers=observed(layers, seen), skipped=(), probes=tuple(map(_probe, feeds)))
    return judge(subject, coverage, measured, POLICY, reproduce="").findings


def confirmed(
    loaded: LoadedModel,
    findings: Sequence[Finding],
    detection: Sequence[Half],
    confirmation: Sequence[Half],
    *,
    seed: int,
    wanted: Callable[[Finding], bool] = lambda _: True,
) -> tuple[Finding, ...]:
    """The wanted findings, with what taking their subjects out of the model showed on other texts."""
    chosen = [finding for finding in findings if wanted(finding)]
    found = confirm(
        chosen,
        loaded,
        layers=survey(loaded.model),
        detection=detection,
        confirmation=confirmation,
        budget=Budget(None, 0.0),
        seed=seed,
    )
    return borne_out(chosen, found.by_finding, POLICY)


def _probe(fed: Half) -> ProbeCoverage:
    tokens = sum(int(batch.tokens.sum()) for batch in fed.batches)
    count = len(fed.samples)
    return ProbeCoverage(name=fed.name, digest="", samples=count, documents=count, tokens=tokens)
