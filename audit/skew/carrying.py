"""Whether a head that attends unequally also carries the difference in output: its pattern is swapped between pairs.

A sentence x and its counterpart x' differ in one term of as many pieces. The head attends in x as it did in x', and
everything else stays: the change of the output is the head's indirect effect, to be held against the total effect of
putting the other term. With every head's pattern swapped one at a time these do not add up to one.

Source: Vig et al. 2020, Investigating gender bias in language models using causal mediation analysis, section 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from audit.models.attention import Edit
from audit.models.loading import LoadedModel
from audit.models.observing import Editor
from audit.numerics import rounded
from audit.observations import AttentionObservation
from audit.probes.sentences import Crossing
from audit.results.demographics import SkewedHead
from audit.results.subject import LayerCoverage
from audit.skew.behaviour import Behaviour, asked, log_probabilities
from audit.skew.design import Design, placed
from audit.skew.testing import LEVEL

Array = NDArray[np.float64]
Place = tuple[int, int]  # layer, head
Swap = Callable[[Tensor, Tensor], Tensor]  # own pattern and counterpart's, to the one to go on with

RESAMPLES = 2_000


class _Effects(NamedTuple):
    """Per pair of terms, summed over its sentences."""

    shared: Array  # change by the edit times the total effect, [pair]
    total: Array  # the total effect squared, [pair]


def carried(
    loaded: LoadedModel,
    made: Design,
    sentences: Sequence[Crossing],
    heads: Sequence[SkewedHead],
    output: Behaviour,
    *,
    layers: Sequence[LayerCoverage],
    patched: int,
    seed: int,
) -> tuple[tuple[SkewedHead, ...], Behaviour]:
    """`heads` with the share of the total effect that the first `patched` of them carry; `output` with what is left.

    Where both terms get the mean of their two patterns in all heads that stand out and are named, `equalised` is the
    share of the total effect that remains.
    """
    standing = list(dict.fromkeys((head.layer, head.head) for head in heads if head.q <= LEVEL))
    shares = {}
    for place in standing[:patched]:
        effects = _tried(loaded, made, sentences, output, [place], swap=lambda _, other: other, layers=layers)
        shares[place] = _slope(effects, seed)
    rest = _tried(
        loaded, made, sentences, output, standing, swap=lambda own, other: (own + other) / 2, layers=layers
    )
    # both members of a pair move towards each other: each by half of what the difference shrinks
    left = 1.0 - 2.0 * _slope(rest, seed)[0]
    named = tuple(_named(head, shares.get((head.layer, head.head))) for head in heads)
    return named, replace(output, equalised=rounded(left, 4))


def _named(head: SkewedHead, share: tuple[float, float, float] | None) -> SkewedHead:
    if share is None:
        return head
    value, low, high = (rounded(each, 4) for each in share)
    return replace(head, carries=value, carries_low=low, carries_high=high)


def _tried(
    loaded: LoadedModel,
    made: Design,
    sentences: Sequence[Crossing],
    output: Behaviour,
    places: Sequence[Place],
    *,
    swap: Swap,
    layers: Sequence[LayerCoverage],
) -> _Effects:
    partner = _partners(made)
    pairs = sorted({min(pair) for pair in partner.items()})
    shared, total = np.zeros(len(pairs)), np.zeros(len(pairs))
    for crossing in sentences:
        question = asked(loaded, crossing)
        rows = _counterparts(crossing, partner)
        if question is None or not rows:
            continue
        order = [rows.get(row, row) for row in range(len(crossing.terms))]
        changed = log_probabilities(loaded, question, layers=layers, edit=_edit(places, order, swap))
        clean = output.values[placed(crossing, made)]
        for row, other in rows.items():
            if not np.isfinite(clean[row]):
                continue
            pair = pairs.index(min(crossing.terms[row], crossing.terms[other]))
            effect = clean[other] - clean[row]
            shared[pair] += (changed[row] - clean[row]) * effect
            total[pair] += effect**2
    return _Effects(shared, total)


def _edit(places: Sequence[Place], order: list[int], swap: Swap) -> Editor:
    by_layer: dict[int, list[int]] = {}
    for layer, head in places:
        by_layer.setdefault(layer, []).append(head)

    def edit(seen: AttentionObservation) -> Edit | None:
        heads = by_layer.get(seen.layer)
        if heads is None:
            return None
        pattern = seen.pattern.clone()
        pattern[:, heads] = swap(seen.pattern[:, heads], seen.pattern[order][:, heads])
        return Edit(pattern=pattern)

    return edit


def _partners(made: Design) -> dict[int, int]:
    """The counterpart of each term, as indices into both groups in order."""
    offset = len(made.axis.terms[0])
    used = set(made.chosen)
    both = [(a, b + offset) for a, b in made.matched.pairs if {a, b + offset} <= used]
    return dict(both) | {b: a for a, b in both}


def _counterparts(crossing: Crossing, partner: dict[int, int]) -> dict[int, int]:
    """Row of the counterpart of each row; only rows whose tokens line up one to one."""
    where = {place: row for row, place in enumerate(zip(crossing.templates, crossing.terms, strict=True))}
    others = {row: where.get((template, partner.get(term, -1))) for (template, term), row in where.items()}
    found = {row: other for row, other in others.items() if other is not None}
    return {
        row: other
        for row, other in found.items()
        if bool((crossing.words[row] == crossing.words[other]).all())
    }


def _slope(effects: _Effects, seed: int) -> tuple[float, float, float]:
    """Share of the total effect, and its 95% interval over pairs of terms."""
    count = len(effects.total)
    if not effects.total.sum():
        return (float("nan"),) * 3
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    draws = effects.shared[drawn].sum(1) / np.maximum(effects.total[drawn].sum(1), 1e-12)
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(effects.shared.sum() / effects.total.sum()), float(low), float(high)
