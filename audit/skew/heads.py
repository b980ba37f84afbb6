"""The heads of an axis, in the order in which a reader should look at them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from audit.models.fresh import reinitialised
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.probes.sentences import Crossing
from audit.results.demographics import SkewedHead
from audit.results.subject import LayerCoverage
from audit.skew.design import Design
from audit.skew.readings import read
from audit.skew.testing import LEVEL, Adjusted, Tests, differences

LISTED = 12  # at least, whether or not they stand out


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
    heads.sort(
        key=lambda head: (head.q, head.p, -abs(head.size or 0.0), head.layer, head.head, head.quantity)
    )
    return tuple(heads[: max(LISTED, sum(head.q <= LEVEL for head in heads))])


def by_layer(heads: Sequence[SkewedHead], layers: Sequence[LayerCoverage]) -> tuple[int, ...]:
    """How many heads of each layer stand out in one quantity or more."""
    standing = {(head.layer, head.head) for head in heads if head.q <= LEVEL}
    return tuple(sum(layer.index == where for where, _ in standing) for layer in layers)


def beside_untrained(
    loaded: LoadedModel,
    made: Design,
    sentences: Sequence[Crossing],
    heads: Sequence[SkewedHead],
    *,
    layers: Sequence[LayerCoverage],
    seed: int,
) -> tuple[SkewedHead, ...]:
    """`heads` with the same differences in the same architecture with fresh weights, where that can be had."""
    model = reinitialised(loaded, seed)
    if isinstance(model, str):
        return tuple(heads)
    fresh = differences(read(model, made, sentences, layers=layers, seed=seed), made)
    starts = np.cumsum([0, *(layer.heads for layer in layers)])
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
