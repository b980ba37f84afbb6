"""What metrics read where nothing was learnt or nothing is special: the nulls that findings are shown beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from audit.definitions import Metric, Quantity
from audit.errors import AuditError
from audit.measure import Recorder
from audit.models import fresh
from audit.models.loading import LoadedModel
from audit.models.observing import observe
from audit.observations import AttentionObservation
from audit.patterns import Stored
from audit.probes.sampling import Feed
from audit.results import Measurement, Null, Plan
from audit.results.subject import LayerCoverage
from audit.statistics.quantiles import LEVELS, flat, read_off, spread_of

Nulls = dict[str, dict[str, Null]]  # metric -> null -> what it reads
Measured = Mapping[str, Mapping[str, Measurement]]

SPREADS = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0])
DRAWS, LONGEST = 8, 128  # patterns per spread, and their tokens: a tenth of a second for each metric
SHAPES = (
    "attention_entropy", "attention_rank", "centred_sigma_1", "centred_sigma_2", "mass_columns", "rank_one_residual",
    "sigma_1", "sigma_2", "spectral_gap", "stable_rank",
)  # fmt: skip
UNTRAINED = ("attention_entropy", "attention_rank", "head_output_norm", "sink_mass")
SAMPLES = 4  # of one batch through a re-initialised model, whose heads are all alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the nulls of one audit are made from."""

    plan: Plan
    metrics: tuple[Quantity, ...]
    measurements: Measured
    layers: tuple[LayerCoverage, ...]
    feeds: tuple[Feed, ...]
    fresh: Nulls = field(default_factory=dict)  # what is known already of the re-initialised model


def all_nulls(ground: Ground, loaded: LoadedModel) -> Nulls:
    """Every null of this audit, of the first text probe; the re-initialised model runs from depth `standard` on."""
    texts = [fed for fed in ground.feeds if fed.name != "random"]
    if not texts:
        return {}
    found: Nulls = {}
    parts = [own(ground, texts[0].name), random_scores(ground, texts[0])]
    if ground.plan.depth != "quick":
        parts.append(reinitialised(ground, loaded, texts[0]))
    for part in parts:
        for metric, by_name in part.items():
            found.setdefault(metric, {}).update(by_name)
    return dict(sorted(found.items()))


def own(ground: Ground, probe: str) -> Nulls:
    """Quantiles over all heads, or all layers, of the same model."""
    found = {}
    for metric in ground.metrics:
        measured = ground.measurements.get(metric.name, {}).get(probe)
        what = "heads" if metric.axes == "head" else "layers"
        null = spread_of(flat(measured.value), how=f"the model's own {what} on {probe}") if measured else None
        if null is not None:
            found[metric.name] = {f"other_{what}": null}
    return found


def random_scores(ground: Ground, fed: Feed) -> Nulls:
    """What shapes of patterns read for Gaussian scores of each head's own spread, under the same mask.

    Scores of random queries and keys on many dimensions are Gaussian; their spread is the measured one. No pass is
    needed: a curve is simulated over spreads and read off at each head's.
    """
    spread = ground.measurements.get("score_spread", {}).get(fed.name)
    metrics = [m for m in ground.metrics if isinstance(m, Metric) and m.name in SHAPES]
    if spread is None or not isinstance(spread.value, list) or not metrics:
        return {}
    tokens = min(LONGEST, max(2, round(fed.tokens / fed.samples)))
    curves = {
        causal: _curves(metrics, tokens=tokens, causal=causal, seed=ground.plan.seed)
        for causal in {_causal(layer) for layer in ground.layers}
    }
    how = f"Gaussian scores with each head's own spread on {fed.name}, {tokens} tokens, the same mask"
    return {
        metric.name: {"random_scores": _read_off(metric.name, curves, ground.layers, spread.value, how)}
        for metric in metrics
    }


def reinitialised(ground: Ground, loaded: LoadedModel, fed: Feed) -> Nulls:
    """Quantiles over heads of the same architecture with fresh weights: only for 'like untrained'."""
    wanted = [m for m in ground.metrics if isinstance(m, Metric) and m.name in UNTRAINED]
    metrics = [m for m in wanted if m.name not in ground.fresh]
    return ground.fresh | (_reinitialised(ground, loaded, fed, metrics) if metrics else {})


def _reinitialised(ground: Ground, loaded: LoadedModel, fed: Feed, metrics: Sequence[Metric]) -> Nulls:
    how = f"the same architecture re-initialised from its configuration, on {fed.name}"
    model = fresh.reinitialised(loaded, ground.plan.seed)
    if isinstance(model, str):
        return {m.name: {"reinitialised": Null(how=how, value=None, absent=model)} for m in metrics}
    try:
        values = _run_fresh(ground, model, fed, metrics)
    except AuditError as error:
        reason = f"the re-initialised model could not be observed: {error}"
        return {m.name: {"reinitialised": Null(how=how, value=None, absent=reason)} for m in metrics}
    spreads = {name: spread_of(found[np.isfinite(found)].tolist(), how=how) for name, found in values.items()}
    return {name: {"reinitialised": null} for name, null in spreads.items() if null is not None}


def _run_fresh(
    ground: Ground, model: Any, fed: Feed, metrics: Sequence[Metric]
) -> dict[str, NDArray[np.float64]]:
    """The first samples through a fresh model, mean over samples of each metric."""
    batch = fed.batches[0]
    recorder = Recorder(metrics, ground.layers, batch.samples[-1] + 1)
    for row in range(min(SAMPLES, len(batch.samples))):
        sample = batch.only(row, batch.input_ids.shape[1])
        recorder.begin(sample)
        observe(model, sample, recorder, layers=ground.layers)
    return {name: _mean(values) for name, values in recorder.values.items()}


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the samples on which a cell is defined."""
    defined = np.isfinite(values)
    total: NDArray[np.float64] = np.where(defined, values, 0.0).sum(0)
    mean: NDArray[np.float64] = np.full_like(total, np.nan)
    np.divide(total, defined.sum(0), out=mean, where=defined.any(0))
    return mean


def _causal(layer: LayerCoverage) -> bool:
    return layer.stack == "decoder" and layer.kind == "self"


def _curves(
    metrics: Sequence[Metric], *, tokens: int, causal: bool, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Median and 5% and 95% quantile of each metric over the draws, [3, spread]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, DRAWS, tokens, tokens, generator=generator, dtype=torch.float64)
    visible = torch.ones(1, 1, tokens, tokens, dtype=torch.bool)
    visible = visible.tril() if causal else visible
    observations = [_observed(noise * spread, visible) for spread in SPREADS]
    return {
        metric.name: np.stack(
            [
                np.quantile(metric.compute(seen)[0].numpy(), (0.5, LEVELS[0], LEVELS[2]))
                for seen in observations
            ],
            axis=1,
        )
        for metric in metrics
    }


def _observed(scores: torch.Tensor, visible: torch.Tensor) -> AttentionObservation:
    """Random patterns as an attention layer would show them."""
    tokens = torch.ones(1, scores.shape[-1], dtype=torch.bool)
    pattern = scores.masked_fill(~visible, -torch.inf).softmax(-1)
    return AttentionObservation(
        layer=0,
        kind="self",
        source=Stored(pattern, visible),
        queries=tokens,
        keys=tokens,
        special=~tokens,
    )


def _read_off(
    metric: str,
    curves: Mapping[bool, dict[str, NDArray[np.float64]]],
    layers: Sequence[LayerCoverage],
    spreads: list[float | list[float | None] | None],
    how: str,
) -> Null:
    """The curve of each layer's mask at the spread of each of its heads."""
    value, low, high = (
        [read_off(curves[_causal(layer)][metric][line], SPREADS, spreads[layer.index]) for layer in layers]
        for line in range(3)
    )
    return Null(how=how, value=value, low=low, high=high, n=DRAWS)
