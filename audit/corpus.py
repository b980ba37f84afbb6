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
Share = dict[str, Tensor]  # float64, the sum of the parts of many samples


class Sums:
    """The sums of one probe; they grow with layers and heads, never with samples or with the square of tokens."""

    def __init__(self, metrics: Sequence[Quantity]) -> None:
        self._metrics = [metric for metric in metrics if isinstance(metric, CorpusMetric)]
        self._sums: dict[tuple[Partial, int], Share] = {}
        self._counts: dict[tuple[Partial, int], int] = {}  # samples

    def add(self, kind: str, observation: Any, layer: int) -> None:
        """Take in one observation; samples come in order, batch by batch."""
        for partial in dict.fromkeys(m.partial for m in self._metrics if m.observes == kind):
            count, share = _summed(partial(observation))
            if count:
                self._take((partial, layer), count, share)

    def absorb(self, others: "Sums") -> None:
        """Take in what sums of the same metrics hold of the samples that follow."""
        for place, (count, share) in others.parts().items():
            self._take(place, count, share)

    def parts(self) -> dict[tuple[Partial, int], tuple[int, Share]]:
        """How many samples were added up for each way to take a part and each layer, and to what."""
        return {place: (self._counts[place], share) for place, share in self._sums.items()}

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

    def _take(self, place: tuple[Partial, int], count: int, share: Share) -> None:
        known = self._sums.setdefault(place, {name: torch.zeros_like(part) for name, part in share.items()})
        for name, part in share.items():
            known[name] += part
        self._counts[place] = self._counts.get(place, 0) + count

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


def _summed(parts: Mapping[str, Tensor]) -> tuple[int, Share]:
    """How many samples of a batch are finite, and the sum of their parts."""
    finite = torch.stack([part.isfinite().reshape(len(part), -1).all(1) for part in parts.values()]).all(0)
    if not bool(finite.all()):
        parts = {name: part[finite] for name, part in parts.items()}
    return int(finite.sum()), {name: part.double().sum(0).cpu() for name, part in parts.items()}


def _numbers(value: float | list[float | None] | None) -> bool:
    return any(v is not None for v in value) if isinstance(value, list) else value is not None
