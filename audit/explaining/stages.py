"""The stages of an audit and the passes each makes, counted before any is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from audit.interventions.candidates import BUDGETS
from audit.interventions.curve import EXTENTS
from audit.interventions.halves import first
from audit.interventions.readings import Fed
from audit.interventions.remedies import CHOOSING, FACTORS, LIMITS
from audit.results import Depth

# What is done of what may be done, as audits of BERT-tiny, all-MiniLM-L6-v2 and SmolLM2-135M did on 2026-11-26.
CURVES = 0.65  # of a plain pass, for those that leave blocks out begin at the first of them
REMEDIES = 0.02  # few findings have a remedy that can be tried
CONFIRMED = (
    3.2  # plain passes, for few findings are of heads or layers, and most of those cost part of a pass
)
ENOUGH_HEADS = 32  # of a model in which some are flagged as a rule; of fewer, fewer
KINDS_OF_CUT = (
    4,
    6,
)  # of a head: mean, zero, uniform, identity; of a layer also its attention and its block left out
SCALINGS = 20  # of the residual stream, tried where a finding blames depth
GLANCES = 4  # passes of a few tokens that learn the way through a model


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: passes are of one batch each, parts of passes added up; tokens include padding."""

    name: str
    passes: float
    tokens: int
    seconds: float  # as a rule
    at_most: bool = False  # what is found decides how many of the passes are made


class Extent(NamedTuple):
    """Batches and tokens of a plain pass over some texts."""

    batches: int
    tokens: int

    @classmethod
    def of(cls, feeds: Sequence[Fed]) -> "Extent":
        """All batches of `feeds`."""
        each = [batch.input_ids.numel() for fed in feeds for batch in fed.batches]
        return cls(len(each), sum(each))


class Heads(NamedTuple):
    """How many there are of a model."""

    layers: int
    heads: int  # of all layers


def experiments(
    depth: Depth,
    *,
    texts: Sequence[Fed],
    heads: Heads,
    loss: bool,
    rate: float,
) -> list[Stage]:
    """Confirmations, drop curves and remedies on `texts`; `rate` is seconds per token of a pass."""
    whole = Extent.of(texts)
    if depth not in BUDGETS or not whole.batches or not rate:
        return []
    return [
        _confirmation(depth, whole, heads, loss=loss, rate=rate),
        _curves(depth, texts, heads, rate=rate),
        *([_remedies(depth, texts, heads, rate=rate)] if loss else []),
    ]


def _stage(name: str, passes: float, extent: Extent, *, seconds: float) -> Stage:
    return Stage(
        name=name,
        passes=passes * extent.batches + GLANCES,
        tokens=round(passes * extent.tokens),
        seconds=seconds,
        at_most=True,
    )


def _confirmation(depth: Depth, whole: Extent, heads: Heads, *, loss: bool, rate: float) -> Stage:
    """A clean pass each round, one for the means, one to see whether the model is of use, and one of rounding."""
    every = 5.0 + heads.heads * KINDS_OF_CUT[0] + heads.layers * KINDS_OF_CUT[1]
    budget = BUDGETS[depth].passes
    passes = (every if budget is None else min(budget, every)) + (1.0 if loss else 2.0)
    flagged = min(1.0, heads.heads / ENOUGH_HEADS)
    usual = min(passes, flagged * (CONFIRMED + (0.0 if loss else 1.0)))
    return _stage("confirm", passes, whole, seconds=usual * whole.tokens * rate)


def _curves(depth: Depth, texts: Sequence[Fed], heads: Heads, *, rate: float) -> Stage:
    extent = EXTENTS[depth]
    fed = Extent.of([first(each, extent.documents) for each in texts])
    cuts = 2 * min(extent.steps, heads.layers // 2)
    return _stage("drop curves", 1.0 + cuts, fed, seconds=(1.0 + CURVES * cuts) * fed.tokens * rate)


def _remedies(depth: Depth, texts: Sequence[Fed], heads: Heads, *, rate: float) -> Stage:
    """Factors are chosen on a few texts, and what is chosen is measured on all."""
    limit = LIMITS[depth]
    tried = heads.heads if limit is None else min(limit, heads.heads)
    few, all_of_them = Extent.of([first(each, CHOOSING) for each in texts]), Extent.of(texts)
    choosing, shown = 1 + len(FACTORS) * tried + SCALINGS, 3 + tried
    tokens = choosing * few.tokens + shown * all_of_them.tokens
    return Stage(
        name="remedies",
        passes=choosing * few.batches + shown * all_of_them.batches + GLANCES,
        tokens=tokens,
        seconds=REMEDIES * min(tokens, 40 * all_of_them.tokens) * rate,
        at_most=True,
    )


def spectral_tokens(fed: Fed, spectra: int) -> int:
    """Tokens of the batches of which singular values are taken."""
    return sum(b.input_ids.numel() for b in fed.batches if b.samples and b.samples[0] < spectra)


def crossings_of(templates: int, terms: int, *, rows: int) -> int:
    """Batches of whole templates with so many terms each."""
    return ceil(templates / max(1, rows // max(1, terms)))
