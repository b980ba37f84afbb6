"""Runs the metrics on what is observed and keeps every number per sample before anything is averaged."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from audit.corpus import Sums
from audit.definitions import Metric, Quantity
from audit.numerics import rounded
from audit.observations import (
    AttentionObservation,
    Batch,
    GradientObservation,
    ResidualObservation,
    WeightObservation,
)
from audit.results import Measurement, Values
from audit.results.subject import LayerCoverage, Skipped
from audit.statistics.bootstrap import Interval, by_document, studentised_interval

WEIGHTS = "weights"  # the pseudo-probe under which metrics of weights are filed
ROWS = 16_384  # of a row group: it is put together in memory
_SCHEMA = pa.schema(
    [
        ("probe", pa.dictionary(pa.int8(), pa.string())),
        ("sample", pa.int32()),
        ("layer", pa.int16()),
        ("head", pa.int16()),  # null for a metric of layers
        ("metric", pa.dictionary(pa.int8(), pa.string())),
        ("value", pa.float64()),
    ]
)


def sampled(metrics: Sequence[Quantity]) -> list[Metric]:
    """Those with a value for each sample."""
    return [metric for metric in metrics if isinstance(metric, Metric) and metric.observes != "weights"]


class Recorder:
    """A receiver of observations: per-sample values of one probe, float64 [sample, layer, head] or [sample, layer]."""

    def __init__(
        self,
        metrics: Sequence[Quantity],
        layers: Sequence[LayerCoverage],
        samples: int,
        *,
        spectra: int | None = None,
        first: int = 0,
    ) -> None:
        """Of the first `spectra` samples spectra are taken; None: of all. The samples count from `first`."""
        heads = max(layer.heads for layer in layers)
        self._quantities, self._layers = metrics, layers
        self._metrics = sampled(metrics)
        self.sums = Sums(metrics)
        self._first = first
        self._rows: slice = slice(0, 0)
        self._spectra = samples if spectra is None else spectra
        self.values: dict[str, NDArray[np.float64]] = {
            metric.name: np.full((samples, len(layers), *((heads,) if metric.axes == "head" else ())), np.nan)
            for metric in self._metrics
        }

    def part(self, first: int, last: int, *, gradients: bool) -> "Recorder":
        """A recorder of these samples and either gradients or all else: rows of this one's values, sums of its own."""
        end, spectra = last + 1, max(self._spectra - first, 0)
        metrics = [metric for metric in self._quantities if (metric.observes == "gradient") == gradients]
        part = Recorder(metrics, self._layers, end - first, spectra=spectra, first=first)
        part.values = {name: self.values[name][first:end] for name in part.values}
        return part

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is measured."""
        return tuple(metric.name for metric in self._quantities)

    def begin(self, batch: Batch) -> None:
        """Say which samples the next observations belong to."""
        self._rows = slice(batch.samples[0] - self._first, batch.samples[-1] + 1 - self._first)

    def of(self, batch: Batch) -> Self:
        """The same recorder turned to the samples of `batch`, for passes that take turns."""
        turned = copy.copy(self)
        turned.begin(batch)
        return turned

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything measured so far, as flat arrays by name."""
        return {f"value {name}": array for name, array in self.values.items()} | self.sums.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from the `state` of a recorder of the same metrics, layers and samples."""
        for name, array in self.values.items():
            array[:] = state[f"value {name}"]
        self.sums.restore(state)

    def on_attention(self, observation: AttentionObservation) -> None:
        """Measure one attention layer, its spectra first: the others read what was gathered for them."""
        self._take(self._of("attention", spectral=True), observation, observation.layer)
        self._measure("attention", observation, observation.layer)

    def on_residual(self, observation: ResidualObservation) -> None:
        """Measure the residual stream around one attention layer, a few samples at a time but for their spectra."""
        self._take(self._of("residual", spectral=True), observation, observation.layer)
        whole = self._rows
        for which, some in observation.apart():
            self._rows = slice(whole.start + which.start, whole.start + which.stop)
            self._measure("residual", some, observation.layer)
        self._rows = whole

    def on_gradient(self, observation: GradientObservation) -> None:
        """Measure what a backward pass left at one attention layer."""
        self._measure("gradient", observation, observation.layer)

    def _measure(self, kind: str, observation: Any, layer: int) -> None:
        self._take(self._of(kind, spectral=False), observation, layer)
        self.sums.add(kind, observation, layer)

    def _of(self, kind: str, *, spectral: bool) -> list[Metric]:
        """The metrics of that kind that decompose, unless no sample at hand is to be; or those that do not."""
        if spectral and self._rows.start >= self._spectra:
            return []
        return [m for m in self._metrics if m.observes == kind and m.spectral == spectral]

    def _take(self, metrics: Sequence[Metric], observation: Any, layer: int) -> None:
        for metric in metrics:
            found = metric.compute(observation).cpu().numpy()
            if metric.axes == "head":
                self.values[metric.name][self._rows, layer, : found.shape[-1]] = found
            else:
                self.values[metric.name][self._rows, layer] = found
            if metric.spectral:  # a batch may reach beyond those of which spectra are taken
                self.values[metric.name][self._spectra :] = np.nan


class Table:
    """`measurements.parquet`: tidy rows (probe, sample, layer, head, metric, value) of one metric per row group."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, _SCHEMA, compression="zstd")

    def write(self, probe: str, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Append the defined values of each metric of `probe`."""
        for metric, array in values.items():
            defined = np.argwhere(np.isfinite(array)).astype(np.int32)
            count = len(defined)
            head = pa.array(defined[:, 2], pa.int16()) if array.ndim == 3 else pa.nulls(count, pa.int16())
            columns = [
                pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array([probe])),
                pa.array(defined[:, 0], pa.int32()),
                pa.array(defined[:, 1], pa.int16()),
                head,
                pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array([metric])),
                pa.array(array[np.isfinite(array)], pa.float64()),
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=_SCHEMA), ROWS)

    def copy(self, probe: str, metric: str, *, of: Path) -> None:
        """Append the rows that another such table has of a metric of `probe`."""
        wanted = [("probe", "==", probe), ("metric", "==", metric)]
        self._writer.write_table(pq.read_table(of, schema=_SCHEMA, filters=wanted), ROWS)

    def __enter__(self) -> Self:
        """The table itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the footer, without which the file is no Parquet."""
        self._writer.close()


def summarised(
    values: Mapping[str, NDArray[np.float64]],
    metrics: Sequence[Quantity],
    layers: Sequence[LayerCoverage],
    documents: Sequence[str],
    seed: int,
) -> dict[str, Measurement]:
    """Mean over documents and 95% interval of every metric of one probe."""
    return {
        metric.name: _measurement(
            metric,
            studentised_interval(by_document(values[metric.name], documents), seed=seed),
            layers,
            capped=_is_capped(metric, values[metric.name]),
        )
        for metric in metrics
        if metric.name in values
    }


def weighed(
    metrics: Sequence[Quantity], layers: Sequence[LayerCoverage], observations: Iterable[WeightObservation]
) -> dict[str, Measurement]:
    """The metrics of weights, [layer][head]; they need no sampling and have no interval."""
    chosen = [metric for metric in metrics if isinstance(metric, Metric) and metric.observes == "weights"]
    found: dict[str, list[list[float | None]]] = {
        m.name: [[None] * layer.heads for layer in layers] for m in chosen
    }
    if chosen:
        for observation in observations:
            for metric in chosen:
                values = [rounded(value) for value in metric.compute(observation).tolist()]
                if len(values) == layers[observation.layer].heads:  # one NaN where nothing was seen
                    found[metric.name][observation.layer] = values
    return {metric.name: _weighed(metric, found[metric.name]) for metric in chosen}


def not_finite(measurements: Mapping[str, Mapping[str, Measurement]]) -> dict[str, dict[str, Measurement]]:
    """The same measurements, the absent ones explained by weights that are NaN or infinite."""
    reason = "the pass was not finite: weights hold NaN or infinity"
    return {
        metric: {
            probe: replace(found, absent=reason) if found.value is None else found
            for probe, found in by_probe.items()
        }
        for metric, by_probe in measurements.items()
    }


def skipped(measurements: Mapping[str, Mapping[str, Measurement]]) -> tuple[Skipped, ...]:
    """The metrics without one number on any probe."""
    return tuple(
        Skipped(metric=name, reason=next((m.absent for m in probes.values() if m.absent), "nothing was fed"))
        for name, probes in measurements.items()
        if not any(_is_measured(m) for m in probes.values())
    )


def _is_measured(measurement: Measurement) -> bool:
    return measurement.value is not None and bool(
        np.isfinite(np.array(_cells(measurement.value), dtype=np.float64)).any()
    )


def _cells(values: Any) -> list[float | None]:
    return [v for row in values for v in _cells(row)] if isinstance(values, list) else [values]


def _weighed(metric: Quantity, values: list[list[float | None]]) -> Measurement:
    if all(value is None for row in values for value in row):
        return Measurement(value=None, absent=metric.absent_when)
    return Measurement(
        value=[*values], absent="read from the weights: nothing was sampled, hence no interval"
    )


def _measurement(
    metric: Quantity, interval: Interval, layers: Sequence[LayerCoverage], *, capped: bool
) -> Measurement:
    n = int(interval.n.max(initial=0))
    if not np.isfinite(interval.value).any():
        return Measurement(value=None, absent=metric.absent_when)
    bounded = bool(np.isfinite(interval.low).any())
    return Measurement(
        value=_nested(interval.value, layers),
        low=_nested(np.clip(interval.low, *metric.span), layers) if bounded else None,
        high=_nested(np.clip(interval.high, *metric.span), layers) if bounded else None,
        n=n,
        bound="at_least" if capped else None,
        absent=_missing(metric, interval, bounded=bounded),
    )


def _is_capped(metric: Quantity, values: NDArray[np.float64]) -> bool:
    """Whether a value stands for itself and all that is larger."""
    beyond = metric.beyond if isinstance(metric, Metric) else None
    return beyond is not None and bool((values >= beyond).any())


def _missing(metric: Quantity, interval: Interval, *, bounded: bool) -> str | None:
    """Why an interval, or some cells, are not there."""
    reasons = [metric.absent_when] if np.isnan(interval.value).any() else []
    if not bounded:
        n = int(interval.n.max())
        reasons.append(f"no interval: {n} document{'s are' if n != 1 else ' is'} too few (16 are needed)")
    return "; ".join(reasons) or None


def _nested(array: NDArray[np.float64], layers: Sequence[LayerCoverage]) -> Values:
    """Lists without padding: each layer as long as it has heads; six significant digits; None for NaN."""
    if array.ndim == 1:
        return [rounded(value) for value in array]
    return [
        [rounded(value) for value in row[: layer.heads]] for row, layer in zip(array, layers, strict=True)
    ]
