"""A published data set from its sentences to its scores, and the attention of those that hold a pronoun."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, log
from typing import NamedTuple, TypeVar

import numpy as np

from audit.models.loading import LoadedModel
from audit.probes.published.items import Pair, PublishedProbe
from audit.progress import Progress
from audit.results import Plan
from audit.results.demographics import Published, PublishedScore, Skew
from audit.results.subject import LayerCoverage
from audit.skew.design import SENTENCES
from audit.skew.published.coreference import coreference
from audit.skew.published.effects import total_effects
from audit.skew.published.pairs import Weighed, weigh
from audit.skew.published.scores import effects, preferences, stereotypes
from audit.skew.published.speaking import Speaker, speaker
from audit.skew.published.spelling import Spelling, spelling
from audit.skew.published.triples import fill

_Item = TypeVar("_Item")

OBSERVATIONS = {"crows_pairs": "pairs", "stereoset": "target terms"}  # of the others: occupations
MASKED = {
    "crows_pairs": "pseudo-log-likelihood: the tokens that both sentences share, masked one at a time, as published",
    "stereoset": "mean probability of the pieces of the word in the blank, as published",
}
PRONOUN = "log probability of the pronoun, masked"
CAUSAL = "log probability of the whole sentence, since a causal model cannot be asked for single tokens of it"
GEOMETRIC = "geometric mean probability of the sentence's tokens, as published for causal models"
SAMPLED = "left out by the budget of 2,000 sentences; --depth full feeds all"


class Surveyed(NamedTuple):
    """What a published data set says of the output, and where it has pronouns of the attention."""

    published: Published
    skew: Skew | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    loaded: LoadedModel
    probe: PublishedProbe  # what of it is fed
    layers: Sequence[LayerCoverage]
    seed: int
    progress: Progress


class _Scored(NamedTuple):
    scores: tuple[PublishedScore, ...]
    unscored: Counter[str]
    fed: int
    loss: float
    weighed: tuple[Weighed, ...] = ()


def survey_published(
    loaded: LoadedModel,
    probe: PublishedProbe,
    *,
    layers: Sequence[LayerCoverage],
    plan: Plan,
    progress: Progress,
) -> Surveyed:
    """The published scores of `loaded` on `probe`; at most 2,000 of its sentences below depth `full`.

    Args:
        loaded: the model; it is left as it was.
        probe: what is fed.
        layers: `coverage.layers`.
        plan: depth (how many sentences) and seed (which).
        progress: told of items.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    items = sum(pair.counted for pair in probe.pairs) + len(probe.triples) + sum(probe.unusable.values())
    chosen = probe if plan.depth == "full" else _within(probe, SENTENCES, plan.seed)
    written = spelling(loaded)
    if isinstance(written, str):
        return Surveyed(_published(probe, items, absent=written), None)
    ground = _Ground(loaded=loaded, probe=chosen, layers=layers, seed=plan.seed, progress=progress)
    asked = speaker(loaded, written)
    found = _scored(ground, asked) if isinstance(asked, Speaker) else None
    absent = asked if isinstance(asked, str) else None
    if found is not None and isinstance(asked, Speaker) and isfinite(found.loss):
        absent = _no_better(found.loss, asked)
    said = _published(probe, items, absent=absent)
    if found is not None and isinstance(asked, Speaker) and absent is None:
        said = replace(said, measure=_measure(asked, probe), fed=found.fed, scores=found.scores)
        said = replace(said, unscored=_unscored(probe, chosen, found))
    weighed = found.weighed if found is not None and absent is None else ()
    return Surveyed(said, _attention(ground, weighed, written))


def _within(probe: PublishedProbe, sentences: int, seed: int) -> PublishedProbe:
    pairs = _drawn(probe.pairs, sentences // 2, seed)
    triples = _drawn(probe.triples, sentences // 3, seed)
    choices = _drawn(probe.choices, (sentences - 2 * len(pairs)) // 4, seed)
    return replace(probe, pairs=pairs, triples=triples, choices=choices)


def _drawn(items: Sequence[_Item], count: int, seed: int) -> tuple[_Item, ...]:
    order = np.random.default_rng(seed).permutation(len(items))[:count]
    return tuple(items[index] for index in sorted(order.tolist()))


def _scored(ground: _Ground, asked: Speaker) -> _Scored:
    probe, seed = ground.probe, ground.seed
    counted = [pair for pair in probe.pairs if pair.counted]
    choices = probe.choices if asked.causal else ()
    with ground.progress.stage(
        f"score {probe.name}", len(counted) + len(probe.triples) + len(choices)
    ) as advance:
        if probe.triples:
            filling = fill(asked, probe.triples, advance=advance)
            scores = tuple(stereotypes(filling.triples, seed=seed))
            return _Scored(scores, filling.unscored, len(filling.triples), filling.loss)
        weighing = weigh(asked, counted, probe.kind, advance=advance)
        found, unasked = total_effects(asked, choices, advance=advance)
    scores = (*preferences(weighing.pairs, seed=seed), *effects(found, seed=seed))
    unscored = weighing.unscored + unasked
    return _Scored(scores, unscored, len(weighing.pairs), weighing.loss, weighing.pairs)


def _attention(ground: _Ground, weighed: tuple[Weighed, ...], written: Spelling) -> Skew | None:
    pairs: Sequence[Pair] = [pair for pair in ground.probe.pairs if pair.fits]
    if not pairs:
        return None
    with ground.progress.stage(f"observe {ground.probe.name}", len(pairs)) as advance:
        return coreference(
            ground.loaded,
            ground.probe,
            pairs,
            weighed,
            written,
            layers=ground.layers,
            seed=ground.seed,
            advance=advance,
        )


def _no_better(loss: float, asked: Speaker) -> str | None:
    chance = log(asked.vocabulary)
    if loss < chance:
        return None
    return (
        f"its tokens cost {loss:.2f} nats each, no better than chance ({chance:.2f}): the model does not know their "
        "language"
    )


def _measure(asked: Speaker, probe: PublishedProbe) -> str:
    if asked.causal:
        return GEOMETRIC if probe.kind == "stereoset" else CAUSAL
    return MASKED.get(probe.kind, PRONOUN)


def _unscored(probe: PublishedProbe, chosen: PublishedProbe, found: _Scored) -> dict[str, int]:
    left = len(probe.pairs) + len(probe.triples) - len(chosen.pairs) - len(chosen.triples)
    reasons = Counter(probe.unusable) + found.unscored + Counter({SAMPLED: left})
    return dict(sorted(reasons.items()))


def _published(probe: PublishedProbe, items: int, *, absent: str | None) -> Published:
    return Published(
        probe=probe.name,
        kind=probe.kind,
        title=probe.title,
        measure="",
        observation=OBSERVATIONS.get(probe.kind, "occupations"),
        items=items,
        fed=0,
        unscored={},
        scores=(),
        limits=probe.limits,
        reference=probe.reference,
        absent=absent,
    )
