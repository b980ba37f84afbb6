"""Adds up what each sample contributes to the quantities that only a whole corpus has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.definitions import CorpusMetric, Quantity
from audit.numerics import rounded
from audit.results import Measurement
from audit.results.subject import LayerCoverage

WHOLE = "a quantity of the whole corpus, not a mean over documents: no interval"

Partial = Callable[[Any], Mapping[str, Tensor]]
Share = dict[str, Tensor]  # float64, one sample's part or the sum of many


class Sums:
    """The sums of one probe; they grow with layers and heads, never with samples or with the square of tokens."""

    def __init__(self, metrics: Sequence[Quantity]) -> None:
        self._metrics = [metric for metric in metrics if isinstance(metric, CorpusMetric)]
        self._sums: dict[tuple[Partial, int], Share] = {}
        self._counts: dict[tuple[Partial, int], int] = {}  # samples

    def add(self, kind: str, observation: Any, layer: int) -> None:
        """Take in one observation; samples come in order, batch by batch."""
        for partial in dict.fromkeys(m.partial for m in self._metrics if m.observes == kind):
            for share in _shares(partial(observation)):
                self._take(partial, layer, share)

    def total(self, metric: CorpusMetric, layer: int) -> Share | None:
        """What was added up for `metric` in one layer; None where no sample contributed."""
        return self._sums.get((metric.partial, layer))

    def measurements(self, layers: Sequence[LayerCoverage]) -> dict[str, Measurement]:
        """Every corpus metric of the probe."""
        return {metric.name: self._measurement(metric, layers) for metric in self._metrics}

    def state(self) -> dict[str, NDArray[Any]]:
        """The sums as flat arrays by name."""
        names = self._names()
        shares = {
            f"sum {names[partial]} {layer} {part}": total.numpy()
            for (partial, layer), share in self._sums.items()
            for part, total in share.items()
        }
        counts = {f"count {names[p]} {layer}": np.array([n]) for (p, layer), n in self._counts.items()}
        return shares | counts

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`, to the bit: what is added next is added to the same numbers."""
        partials = {name: partial for partial, name in self._names().items()}
        for key, array in state.items():
            kind, *place = key.split()
            if kind == "count":
                self._counts[partials[place[0]], int(place[1])] = int(array[0])
            elif kind == "sum":
                share = self._sums.setdefault((partials[place[0]], int(place[1])), {})
                share[place[2]] = torch.from_numpy(array.copy())

    def _names(self) -> dict[Partial, str]:
        """Each way to take a sample's part, by the first metric that uses it."""
        return {metric.partial: metric.name for metric in reversed(self._metrics)}

    def _take(self, partial: Partial, layer: int, share: Share) -> None:
        place = (partial, layer)
        known = self._sums.setdefault(place, {name: torch.zeros_like(part) for name, part in share.items()})
        for name, part in share.items():
            known[name] += part
        self._counts[place] = self._counts.get(place, 0) + 1

    def _measurement(self, metric: CorpusMetric, layers: Sequence[LayerCoverage]) -> Measurement:
        values = [self._reduced(metric, layer) for layer in layers]
        if not any(_numbers(value) for value in values):
            return Measurement(value=None, absent=metric.absent_when)
        n = max(self._counts.get((metric.partial, layer.index), 0) for layer in layers)
        return Measurement(value=[*values], n=n, absent=WHOLE)

    def _reduced(self, metric: CorpusMetric, layer: LayerCoverage) -> float | list[float | None] | None:
        total = self.total(metric, layer.index)
        if metric.axes == "layer":
            return None if total is None else rounded(float(metric.reduce(total)))
        if total is None:
            return [None] * layer.heads
        return [rounded(value) for value in metric.reduce(total).tolist()]


def _shares(parts: Mapping[str, Tensor]) -> list[Share]:
    """The samples of a batch one by one, those left out that are not finite."""
    batch = len(next(iter(parts.values())))
    flat = [part.reshape(batch, -1) for part in parts.values()]
    finite = torch.stack([part.isfinite().all(-1) for part in flat]).all(0).tolist()
    return [{n: part[row].double().cpu() for n, part in parts.items()} for row in range(batch) if finite[row]]


def _numbers(value: float | list[float | None] | None) -> bool:
    return any(v is not None for v in value) if isinstance(value, list) else value is not None
