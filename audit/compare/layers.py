"""Which layer of one model is held against which of another.

Models of the same depth: layer by layer. Where depths differ, as after pruning, numbers and names say nothing (a
smaller checkpoint counts its layers anew); then every layer of the shallower model gets the one of the deeper that
measured most alike, in order. What is read from the weights decides where it was measured: pruning leaves it as it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.compare.records import Alignment
from audit.compare.tables import WEIGHTS, table
from audit.results import Audit, Measurement

Array = NDArray[np.float64]


def aligned(before: Audit, after: Audit) -> Alignment:
    """The pairs of layers, each stack and kind of attention by itself, and the layers without a counterpart."""
    pairs: list[tuple[int, int]] = []
    by_position = True
    for group in dict.fromkeys(_groups(before)):
        first, second = (
            [index for index, other in enumerate(_groups(audit)) if other == group]
            for audit in (before, after)
        )
        if len(first) == len(second):
            pairs += zip(first, second, strict=True)
        else:
            by_position = False
            pairs += _likest(before, after, first, second)
    left, right = ({pair[side] for pair in pairs} for side in (0, 1))
    return Alignment(
        how="by position" if by_position else "in order, by how alike they measured",
        pairs=tuple(sorted(pairs)),
        gone=tuple(index for index in range(len(before.coverage.layers)) if index not in left),
        new=tuple(index for index in range(len(after.coverage.layers)) if index not in right),
    )


def _groups(audit: Audit) -> list[tuple[str, str]]:
    return [(layer.stack, layer.kind) for layer in audit.coverage.layers]


def _likest(
    before: Audit, after: Audit, first: Sequence[int], second: Sequence[int]
) -> list[tuple[int, int]]:
    cost = _unlikeness(before, after)[np.ix_(first, second)]
    if len(first) <= len(second):
        return [(first[row], second[column]) for row, column in _in_order(cost)]
    return [(first[row], second[column]) for column, row in _in_order(cost.T)]


def _in_order(cost: Array) -> list[tuple[int, int]]:
    """A column for every row of [row, column], ascending, so that the costs add up to least."""
    rows, columns = cost.shape
    best = np.full((rows + 1, columns + 1), np.inf)
    best[0] = 0.0
    for row in range(rows):
        for column in range(columns):
            best[row + 1, column + 1] = min(best[row + 1, column], best[row, column] + cost[row, column])
    found, column = [], columns
    for row in range(rows, 0, -1):
        while column > row and best[row, column - 1] <= best[row, column]:
            column -= 1
        found.append((row - 1, column - 1))
        column -= 1
    return found[::-1]


def _unlikeness(before: Audit, after: Audit) -> Array:
    """Mean distance of what was measured, in standard deviations of each metric, [layer before, layer after]."""
    shared = [
        (by_probe[probe], after.measurements[metric][probe])
        for metric, by_probe in sorted(before.measurements.items())
        for probe in sorted(by_probe)
        if probe in after.measurements.get(metric, {})
    ]
    of_weights = [
        (by_probe[WEIGHTS], after.measurements[metric][WEIGHTS])
        for metric, by_probe in sorted(before.measurements.items())
        if WEIGHTS in by_probe and WEIGHTS in after.measurements.get(metric, {})
    ]
    shape = len(before.coverage.layers), len(after.coverage.layers)
    total, count = np.zeros(shape), np.zeros(shape)
    for pair in of_weights or shared:
        distance = _distance(*pair)
        if distance is not None and distance.shape == shape:
            known = np.isfinite(distance)
            total += np.where(known, distance, 0.0)
            count += known
    far = 1.0 + total.max(initial=0.0)  # layers with nothing in common are matched last
    cost: Array = np.divide(total, count, out=np.full(shape, far), where=count > 0)
    return cost


def _distance(before: Measurement, after: Measurement) -> Array | None:
    one, other = table(before.value), table(after.value)
    if one is None or other is None:
        return None
    spread = float(np.nanstd(np.concatenate([one.ravel(), other.ravel()]))) if np.isfinite(one).any() else 0.0
    if not spread > 0:
        return None
    heads = min(one.shape[1], other.shape[1])
    gap = np.abs(one[:, None, :heads] - other[None, :, :heads]) / spread
    known = np.isfinite(gap)
    sums = np.where(known, gap, 0.0).sum(2)
    mean: Array = np.divide(sums, known.sum(2), out=np.full(sums.shape, np.nan), where=known.any(2))
    return mean
