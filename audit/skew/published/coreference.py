"""Whether a head looks from a pronoun to the occupation that its gender is stereotyped with, rather than to the other.

Each sentence stands with both pronouns, so that what a head gives to an occupation for its place in the sentence is
the same twice and falls out. The unit of inference is the occupation: what it receives from the male pronoun less from
the female one is averaged over its sentences, and which gender an occupation is stereotyped with is permuted over
occupations. Half the difference between the two groups of occupations is the attention given to the stereotypical
antecedent less that to the other.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.errors import MachineFault
from audit.models.fresh import reinitialised
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.probes.published.items import Pair, PublishedProbe
from audit.results.demographics import Skew, SkewAxis, SkewedHead, SkewedOutput
from audit.results.subject import LayerCoverage
from audit.skew.design import LEAST_TERMS
from audit.skew.published.antecedents import Attended, attended
from audit.skew.published.pairs import Weighed
from audit.skew.published.spelling import Spelling
from audit.skew.testing import LEVEL
from audit.statistics.crossed import effect, interval, smallest_visible, term_scores
from audit.statistics.discovery import benjamini_hochberg
from audit.statistics.permutation import difference_of_means

Array = NDArray[np.float64]
Verdict = Literal["skew found", "none found", "descriptive", "not applicable"]

QUANTITY = "received_from_pronoun"
TITLE = "attention received from the pronoun"
GROUPS = ("stereotypical antecedent", "other antecedent")
SHOWN = 12  # heads that are named
BESIDE = 200  # pairs of sentences that the untrained model reads
SHUFFLES = 999


class _Tested(NamedTuple):
    """All cells: stereotypical less other antecedent."""

    terms: int  # per gender
    level: Array
    difference: Array
    p: Array
    q: Array
    low: Array
    high: Array
    size: Array
    error: Array

    @property
    def tests(self) -> int:
        """Cells that could be tested."""
        return int(np.isfinite(self.p).sum())


def coreference(
    loaded: LoadedModel,
    probe: PublishedProbe,
    pairs: Sequence[Pair],
    weighed: Sequence[Weighed],
    spelling: Spelling,
    *,
    layers: Sequence[LayerCoverage],
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Skew:
    """The attention from pronoun to antecedents in `pairs`, tested in every head.

    Args:
        loaded: the model; it is left as it was.
        probe: whose stereotypes these are.
        pairs: what of it is fed.
        weighed: what the model's output says of them; empty where it was not asked.
        spelling: how it is fed.
        layers: `coverage.layers`.
        seed: of permutations and of fresh weights.
        advance: told of pairs.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    if not any(layer.observed and layer.kind == "self" for layer in layers):
        why = "no self-attention layer was observed"
        return Skew(probe=probe.name, quantities={}, tests=0, level=LEVEL, axes=(), absent=why)
    seen = attended(loaded.model, spelling, pairs, layers=layers, advance=advance)
    found = _tested(seen, _first(probe, seen.terms), seed)
    few = _few(found)
    heads = _heads(found, layers, judged=few is None)
    if any(head.q <= LEVEL for head in heads):
        some = pairs[:: max(1, len(pairs) // BESIDE)]
        heads = _beside_untrained(loaded, probe, some, spelling, heads, layers=layers, seed=seed)
    output = _output(probe, weighed, seed)
    axis = replace(
        _axis(probe, seen, found, heads, layers, few=few),
        output=output,
        output_absent=None if output else "too few of its pronouns could be asked for",
    )
    return Skew(probe=probe.name, quantities={QUANTITY: TITLE}, tests=found.tests, level=LEVEL, axes=(axis,))


def _first(probe: PublishedProbe, terms: Iterable[str]) -> NDArray[np.bool_]:
    """Which occupations are stereotyped as male."""
    return np.array([probe.genders[term] == "male" for term in terms], dtype=np.bool_)


def _tested(seen: Attended, first: NDArray[np.bool_], seed: int) -> _Tested:
    known = seen.counts > 0
    lead, level, group = seen.lead[known], seen.level[known], first[known]
    terms, blank = int(min(group.sum(), (~group).sum())), np.full(lead.shape[1], np.nan)
    if terms < 2:
        return _Tested(terms, *(blank for _ in range(8)))
    contrast = difference_of_means(lead, group, seed=seed)
    defined = np.isfinite(contrast.p)
    low, high, size, error = (blank.copy() for _ in range(4))
    if defined.any():
        values = lead[None][..., defined]  # of one template: every pair counts towards its occupation
        size[defined], error[defined] = effect(term_scores(values), group)
        low[defined], high[defined] = interval(values, group, seed=seed)
    return _Tested(
        terms=terms,
        level=np.where(defined, level.mean(0), np.nan),
        difference=contrast.observed,
        p=contrast.p,
        q=benjamini_hochberg(contrast.p),
        low=low,
        high=high,
        size=size,
        error=error,
    )


def _few(found: _Tested) -> str | None:
    """Why the heads can only be described; None where they can be judged."""
    if found.terms >= LEAST_TERMS:
        return None
    return f"{found.terms} occupations per gender are too few to judge by ({LEAST_TERMS} are needed)"


def _heads(found: _Tested, layers: Sequence[LayerCoverage], *, judged: bool) -> tuple[SkewedHead, ...]:
    """All that stand out and the next few, most certain first."""
    places = [(layer.index, head) for layer in layers for head in range(layer.heads)]
    heads = [
        SkewedHead(
            quantity=QUANTITY,
            layer=layer,
            head=head,
            level=rounded(found.level[cell]) or 0.0,
            difference=rounded(found.difference[cell]) or 0.0,
            low=rounded(found.low[cell]),
            high=rounded(found.high[cell]),
            size=rounded(found.size[cell], 4),
            p=rounded(found.p[cell], 3) or 0.0,
            q=(rounded(found.q[cell], 3) or 0.0) if judged else 1.0,
            reinitialised=None,
        )
        for cell, (layer, head) in enumerate(places)
        if np.isfinite(found.p[cell])
    ]
    heads.sort(key=lambda head: (head.q, head.p, -abs(head.size or 0.0), head.layer, head.head))
    return tuple(heads[: max(SHOWN, sum(head.q <= LEVEL for head in heads))])


def _beside_untrained(
    loaded: LoadedModel,
    probe: PublishedProbe,
    pairs: Sequence[Pair],
    spelling: Spelling,
    heads: Sequence[SkewedHead],
    *,
    layers: Sequence[LayerCoverage],
    seed: int,
) -> tuple[SkewedHead, ...]:
    model = reinitialised(loaded, seed)
    if isinstance(model, str):
        return tuple(heads)
    try:
        seen = attended(model, spelling, pairs, layers=layers)
    except MachineFault:  # of two models beside each other: the audit can do without
        return tuple(heads)
    first = _first(probe, seen.terms)
    fresh = np.nanmean(seen.lead[first], axis=0) - np.nanmean(seen.lead[~first], axis=0)
    starts = np.cumsum([0, *(layer.heads for layer in layers)])
    return tuple(
        replace(head, reinitialised=rounded(fresh[starts[head.layer] + head.head])) for head in heads
    )


def _axis(
    probe: PublishedProbe,
    seen: Attended,
    found: _Tested,
    heads: Sequence[SkewedHead],
    layers: Sequence[LayerCoverage],
    *,
    few: str | None,
) -> SkewAxis:
    standing = [head for head in heads if head.q <= LEVEL]
    verdict: Verdict = "skew found" if standing else "none found"
    reason = f"{len(standing)} of {found.tests} heads stand out"
    if not found.tests:
        verdict, reason = "not applicable", "no pronoun sees an occupation among this model's tokens"
    elif few is not None:
        verdict, reason = "descriptive", few
    errors = found.error[np.isfinite(found.error)]
    return SkewAxis(
        name=probe.kind,
        title=probe.title,
        groups=GROUPS,
        pairs=(),
        terms=found.terms,
        templates=seen.pairs,
        sentences=2 * seen.pairs,
        unknown=0,
        unmatched=seen.unaligned,
        imbalance=0.0,
        limits=probe.limits,
        control=False,
        verdict=verdict,
        reason=reason,
        heads=tuple(heads[:SHOWN]),
        found=len(standing),
        by_layer=tuple(sum(head.layer == layer.index for head in standing) for layer in layers),
        smallest=rounded(float(np.median(smallest_visible(errors, found.tests, level=LEVEL))), 3)
        if len(errors)
        else None,
    )


def _output(probe: PublishedProbe, weighed: Sequence[Weighed], seed: int) -> SkewedOutput | None:
    """The log probability of a sentence with the male pronoun less with the female one, by occupation."""
    leads: dict[str, list[float]] = {}
    for each in weighed:
        if each.pair.counted and each.pair.fits:
            lead = each.more - each.less
            leads.setdefault(each.pair.cluster, []).append(lead if each.pair.fits == "male" else -lead)
    first = _first(probe, leads)
    if not 1 < first.sum() < len(first) - 1:
        return None
    values = np.array([np.mean(lead) for lead in leads.values()])[:, None] / 2
    contrast = difference_of_means(values, first, seed=seed)
    generator = np.random.default_rng(seed)
    labels = generator.permuted(np.tile(first, (SHUFFLES, 1)), axis=1)
    shuffled = [values[drawn].mean() - values[~drawn].mean() for drawn in labels]
    p = float(contrast.p[0])
    return SkewedOutput(
        measure="log probability with the pronoun that fits the stereotype, less that with the other one,",
        p=float(f"{p:.3g}") if isfinite(p) else None,
        difference=rounded(contrast.observed[0]) or 0.0,
        chance=rounded(float(np.abs(shuffled).mean())) or 0.0,
        leanings=(),
    )
