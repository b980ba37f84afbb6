"""What it costs to leave out ever more blocks, or attention sublayers, beginning with those that do least."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from audit.interventions.ablation import Ablation, Cut, Target
from audit.interventions.costs import Cost, costs
from audit.interventions.effects import objective
from audit.interventions.readings import Fed
from audit.interventions.savings import Kind, Weight, Weights, weigh
from audit.interventions.trials import Bench, Way, tried, way_through
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.results import LayerCoverage

LONGEST = 8  # steps, unless told otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is left out so far, and as a share of the model."""

    parameters: int
    parameters_share: float | None
    flops_per_token: float
    flops_share: float | None
    cache_bytes_per_token: float | None  # None where the model keeps no key/value cache
    cache_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One more part left out; `effect` is that of all so far, larger is worse, None where it is not finite."""

    dropped: int
    layer: int  # the one left out last
    influence: float | None  # of it, on the detection texts
    effect: float | None
    low: float | None
    high: float | None
    n: int
    harmless: bool | None  # whether the interval lies inside the margin; None with too few documents
    saved: Saved


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCurve:
    """A measured curve; plain values, for JSON."""

    kind: Kind
    metric: str  # that chose the order
    measure: str
    unit: str
    level: float | None  # of the unchanged model
    margin: float | None
    of: int  # parts the model has
    steps: tuple[Step, ...]
    harmless: int  # steps from the first on that lie inside the margin
    passes: float


def drop_curve(
    loaded: LoadedModel,
    *,
    layers: Sequence[LayerCoverage],
    kind: Kind,
    influence: Sequence[float | None],
    texts: Sequence[Fed],
    steps: int = LONGEST,
    seed: int,
) -> DropCurve | str:
    """The cost of leaving out 1, 2, ... of the least influential parts at once, or why it cannot be measured.

    Source of the order: Men et al. 2024, ShortGPT (blocks); He et al. 2024, arXiv 2406.15786 (attention sublayers).

    Args:
        loaded: the model; it is left as it was.
        layers: `coverage.layers`.
        kind: what is left out.
        influence: block_influence or attention_influence by layer, on other texts; None is never left out.
        texts: to measure on.
        steps: at most so many, and at most half of the parts.
        seed: chooses masks and resamples.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    measure = objective(loaded, seed=seed)
    if isinstance(measure, str):
        return measure
    bench = Bench(loaded.model, layers, measure, {})
    way = way_through(bench, texts[0].batches[0])
    parts = _ordered(way, influence, kind)
    if len(parts) < 2:
        return f"{len(parts)} {kind} that could be left out: there is nothing to choose from"
    cuts = _growing([cut for _, cut in parts], min(steps, len(parts) // 2))
    found = tried(bench, way, texts, cuts)
    if (why := measure.unusable(found.samples)) is not None:
        return why
    if found.refused:
        return next(iter(found.refused.values()))
    cost = costs(found, measure, seed=seed)
    taken = weigh(loaded.model, texts[0].batches[0], layers=layers, route=way.route, kind=kind)
    margin = measure.margin(found.samples)
    made = tuple(_step(cut, cost[cut], influence, taken, margin) for cut in cuts)
    return DropCurve(
        kind=kind,
        metric="block_influence" if kind == "blocks" else "attention_influence",
        measure=measure.name,
        unit=measure.unit,
        level=rounded(measure.level(found.samples)),
        margin=rounded(margin),
        of=len(parts),
        steps=made,
        harmless=len(tuple(takewhile(lambda step: step.harmless, made))),
        passes=round(found.passes, 2),
    )


def _ordered(way: Way, influence: Sequence[float | None], kind: Kind) -> list[tuple[float, Ablation]]:
    """What can be left out, the least influential first; a block once, whichever of its layers names it."""
    target: Target = "block" if kind == "blocks" else "attention"
    parts = []
    for layer, value in enumerate(influence):
        ablation = Ablation(target=target, layer=layer, replacement="skip")
        if value is not None and way.refusal((ablation,)) is None:
            parts.append((value, ablation))
    once = {
        way.route.run_of(ablation.layer) if kind == "blocks" else ablation.layer: (value, ablation)
        for value, ablation in reversed(parts)
    }
    return sorted(once.values(), key=lambda part: (part[0], part[1].layer))


def _growing(parts: Sequence[Ablation], steps: int) -> list[Cut]:
    return [tuple(parts[:count]) for count in range(1, steps + 1)]


def _step(cut: Cut, cost: Cost, influence: Sequence[float | None], taken: Weights, margin: float) -> Step:
    layer = cut[-1].layer
    return Step(
        dropped=len(cut),
        layer=layer,
        influence=rounded(influence[layer] or 0.0),
        effect=cost.effect,
        low=cost.low,
        high=cost.high,
        n=cost.n,
        harmless=False if cost.effect is None else None if cost.high is None else cost.high < margin,
        saved=_saved([taken.parts[ablation.layer] for ablation in cut], taken.whole),
    )


def _saved(parts: Sequence[Weight], whole: Weight) -> Saved:
    parameters, flops = sum(part.parameters for part in parts), sum(part.flops for part in parts)
    cache = None if whole.cache_bytes is None else sum(part.cache_bytes or 0.0 for part in parts)
    return Saved(
        parameters=parameters,
        parameters_share=rounded(parameters / whole.parameters),
        flops_per_token=flops,
        flops_share=rounded(flops / whole.flops),
        cache_bytes_per_token=cache,
        cache_share=None if cache is None or not whole.cache_bytes else rounded(cache / whole.cache_bytes),
    )
