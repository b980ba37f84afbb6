"""How a quantity of layers grows over depth."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from audit.definitions import Case, Cell

LEAST_LAYERS = 4  # fewer have no trend
_LEAST = 1e-12  # of the largest: what a value of 0 counts as in a ratio


class Profile(NamedTuple):
    """A metric over the layers of one stack on one probe."""

    metric: str
    probe: str
    stack: str
    cells: tuple[Cell, ...]

    @property
    def growth(self) -> float:
        """By what factor the values grow from the last layer back to the first, by the median slope of their logs.

        A single layer that falls out of line does not move it.
        """
        most = max(cell.value for cell in self.cells)
        if most <= 0:
            return 1.0
        logs = [(cell.layer, math.log(max(cell.value, _LEAST * most))) for cell in self.cells]
        slopes = [(here - there) / (first - last) for (first, here), (last, there) in combinations(logs, 2)]
        return math.exp(-median(slopes) * (logs[-1][0] - logs[0][0]))


def profiles(case: Case, metrics: Sequence[str], probe: str) -> Iterator[Profile]:
    """Each metric over the self-attention layers of each stack, where it has enough of them."""
    layers = case.coverage.layers
    for stack in dict.fromkeys(layer.stack for layer in layers):
        for metric in metrics:
            cells = tuple(
                cell
                for cell in case.cells(metric, probe)
                if layers[cell.layer].stack == stack and layers[cell.layer].kind == "self"
            )
            if len(cells) >= LEAST_LAYERS:
                yield Profile(metric, probe, stack, cells)
