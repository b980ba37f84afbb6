"""Quantities through a series, layer by layer: the mean over the heads of a layer in each text."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from audit.compare.records import Drift, Point
from audit.compare.samples import Samples
from audit.compare.tables import WEIGHTS, rounded, table
from audit.statistics.bootstrap import studentised_interval
from audit.store import Entry

Array = NDArray[np.float64]
DRIFTS: tuple[tuple[str, Literal["lowest", "highest"]], ...] = (
    ("freezing", "highest"),
    ("attention_entropy", "lowest"),
    ("token_similarity", "highest"),
    ("query_key_norm", "highest"),
)


class LayerMeans:
    """The audits of a series, all of the same layers."""

    def __init__(self, entries: Sequence[Entry], samples: Sequence[Samples], probes: Sequence[str]) -> None:
        self._entries, self._samples = entries, samples
        self.seed = int(entries[0].audit.plan["seed"])
        self.texts = [probe for probe in probes if probe != "random"] or list(probes)

    def values(self, metric: str, probe: str) -> list[Array] | None:
        """Float64 [sample, layer] per step, NaN where a checkpoint has no number; None where it was not measured."""
        if not all(probe in entry.audit.measurements.get(metric, {}) for entry in self._entries):
            return None
        found = [
            self._one(entry, samples, metric, probe)
            for entry, samples in zip(self._entries, self._samples, strict=True)
        ]
        count = max(map(len, found))
        return [np.pad(each, ((0, count - len(each)), (0, 0)), constant_values=np.nan) for each in found]

    def drifts(self) -> Iterator[Drift]:
        """What collapses or grows on the way to a collapse, on the first text probe or of the weights."""
        for metric, end in DRIFTS:
            for probe in (*self.texts[:1], WEIGHTS):
                values = self.values(metric, probe)
                if values is not None:
                    points = tuple(self._furthest(each, end) for each in values)
                    yield Drift(metric=metric, probe=probe, end=end, points=points)

    def point(self, values: Array, layer: int) -> Point:
        """Mean over texts of one layer, and its interval."""
        found = studentised_interval(values[:, [layer]], seed=self.seed)
        value, low, high = (rounded(float(each[0])) for each in found[:3])
        return Point(value=value, low=low, high=high, layer=layer)

    def _one(self, entry: Entry, samples: Samples, metric: str, probe: str) -> Array:
        layers = entry.audit.coverage.layers
        heads = max(layer.heads for layer in layers)
        found = samples.values(metric, probe, layers=len(layers), heads=heads)
        if found is None:
            cells = table(entry.audit.measurements[metric][probe].value)
            found = np.full((1, len(layers), 1), np.nan) if cells is None else cells[None]
        return _mean(found, -1)

    def _furthest(self, values: Array, end: Literal["lowest", "highest"]) -> Point:
        means = _mean(values, 0)
        if not np.isfinite(means).any():
            return Point(value=None)
        return self.point(values, int((np.nanargmin if end == "lowest" else np.nanargmax)(means)))


def _mean(values: Array, axis: int) -> Array:
    """Over what is defined; NaN where nothing is."""
    count = np.isfinite(values).sum(axis)
    total = np.where(np.isfinite(values), values, 0.0).sum(axis)
    mean: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean
