"""The heads of an axis, in the order in which a reader should look at them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from audit.numerics import rounded
from audit.results.demographics import SkewedHead
from audit.results.subject import LayerCoverage
from audit.skew.design import Design, thinned
from audit.skew.ground import Ground
from audit.skew.readings import read
from audit.skew.testing import LEVEL, SHOWN, Adjusted, Tests, differences, rank

UNTRAINED = 64  # sentences of an axis, more or less


def listed(
    tests: Mapping[str, Tests], adjusted: Adjusted, layers: Sequence[LayerCoverage]
) -> tuple[SkewedHead, ...]:
    """All tests that stand out and the next few, most certain first."""
    places = [(layer.index, head) for layer in layers for head in range(layer.heads)]
    heads = [
        _head(name, place, each, adjusted.q.get(name), cell)
        for name, each in tests.items()
        for cell, place in enumerate(places)
        if np.isfinite(each.p[cell])
    ]
    heads.sort(key=lambda head: (*rank(head.p, head.size), head.quantity, head.layer, head.head))
    return tuple(heads[: max(SHOWN, sum(head.q <= LEVEL for head in heads))])


def by_layer(heads: Sequence[SkewedHead], layers: Sequence[LayerCoverage]) -> tuple[int, ...]:
    """How many heads of each layer stand out in one quantity or more."""
    standing = {(head.layer, head.head) for head in heads if head.q <= LEVEL}
    return tuple(sum(layer.index == where for where, _ in standing) for layer in layers)


def beside_untrained(
    ground: Ground, model: Any, made: Design, heads: Sequence[SkewedHead]
) -> tuple[SkewedHead, ...]:
    """`heads` with the same differences in `model`, of the same architecture with fresh weights.

    Untaught heads hardly tell words apart: a few of the templates show it, as long as every term stands in one.
    """
    few = thinned(made.cells, UNTRAINED)
    cells = few if len({term for _, term in few}) == len(made.chosen) else made.cells
    readings = read(
        model, made, ground.sentences(made.axis, cells), layers=ground.layers, seed=ground.plan.seed
    )
    fresh = differences(readings, made)
    starts = np.cumsum([0, *(layer.heads for layer in ground.layers)])
    return tuple(
        replace(head, reinitialised=rounded(fresh[head.quantity][starts[head.layer] + head.head]))
        for head in heads
    )


def _head(
    name: str,
    place: tuple[int, int],
    each: Tests,
    q: np.ndarray[tuple[int], np.dtype[np.float64]] | None,
    cell: int,
) -> SkewedHead:
    return SkewedHead(
        quantity=name,
        layer=place[0],
        head=place[1],
        level=rounded(each.level[cell]) or 0.0,
        difference=rounded(each.difference[cell]) or 0.0,
        low=rounded(each.low[cell]),
        high=rounded(each.high[cell]),
        size=rounded(each.size[cell], 4),
        p=rounded(each.p[cell], 3) or 0.0,
        q=1.0 if q is None else rounded(q[cell], 3) or 0.0,
        reinitialised=None,
    )
