"""What it costs to leave out ever more blocks, or attention sublayers, beginning with those that do least."""

from collections.abc import Mapping, Sequence
from itertools import chain, takewhile
from typing import NamedTuple

from audit.interventions.ablation import Ablation, Cut, Target
from audit.interventions.costs import Cost, costs
from audit.interventions.effects import objective
from audit.interventions.readings import Fed
from audit.interventions.savings import Weights, weigh
from audit.interventions.trials import Bench, Tried, Way, tried, way_through
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.results import Depth
from audit.results.redundancy import DropCurve, Kind, Saved, Step
from audit.results.subject import LayerCoverage


class Extent(NamedTuple):
    """How far the curves go; None is no bound."""

    steps: int  # at most, and at most half of the parts
    documents: int | None  # of each probe, at most


EXTENTS: dict[Depth, Extent] = {"standard": Extent(6, 16), "full": Extent(16, None)}
CHOSEN_BY: dict[Kind, str] = {"blocks": "block_influence", "attention": "attention_influence"}
Influence = Sequence[float | None] | str  # by layer, or why it is not known


class _Order(NamedTuple):
    """What is left out, the least influential first, each with its influence; and how many parts there are."""

    parts: Sequence[tuple[float, Ablation]]
    of: int

    @property
    def cuts(self) -> list[Cut]:
        """Each the one before and one part more."""
        parts = tuple(ablation for _, ablation in self.parts)
        return [parts[:count] for count in range(1, len(parts) + 1)]


class _Measured(NamedTuple):
    """What all curves rest on."""

    bench: Bench
    way: Way
    found: Tried
    cost: dict[Cut, Cost]
    texts: Sequence[Fed]


def drop_curves(
    loaded: LoadedModel,
    *,
    layers: Sequence[LayerCoverage],
    influence: Mapping[Kind, Influence],
    texts: Sequence[Fed],
    steps: int,
    seed: int,
) -> tuple[DropCurve, ...]:
    """The cost of leaving out 1, 2, ... of the least influential parts of each kind, or why it is not measured.

    Source of the order: Men et al. 2024, ShortGPT (blocks); He et al. 2024, arXiv 2406.15786 (attention sublayers).

    Args:
        loaded: the model; it is left as it was.
        layers: `coverage.layers`.
        influence: block_influence and attention_influence by layer, on other texts; None is never left out.
        texts: to measure on.
        steps: at most so many, and at most half of the parts.
        seed: chooses masks and resamples.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    measure = "there is no text to measure it on" if not texts else objective(loaded, seed=seed)
    if isinstance(measure, str):
        return tuple(_absent(kind, measure) for kind in influence)
    bench = Bench(loaded.model, layers, measure, {})
    way = way_through(bench, texts[0].batches[0])
    orders = {kind: _order(way, known, kind, steps) for kind, known in influence.items()}
    cuts = [order.cuts for order in orders.values() if not isinstance(order, str)]
    found = tried(bench, way, texts, [*chain(*cuts)])
    unusable = measure.unusable(found.samples)
    cost = {} if unusable else costs(found, measure, seed=seed)
    shared = _Measured(bench, way, found, cost, texts)
    return tuple(_curve(kind, order, shared, unusable) for kind, order in orders.items())


def _absent(kind: Kind, why: str) -> DropCurve:
    return DropCurve(kind=kind, metric=CHOSEN_BY[kind], absent=why)


def _order(way: Way, influence: Influence, kind: Kind, steps: int) -> _Order | str:
    """What a curve leaves out, or why there is nothing."""
    if isinstance(influence, str):
        return influence
    parts = _ordered(way, influence, kind)
    if len(parts) < 2:
        return f"parts that could be left out: {len(parts)}, so that there is nothing to choose from"
    return _Order(parts[: min(steps, len(parts) // 2)], len(parts))


def _curve(kind: Kind, order: _Order | str, shared: _Measured, unusable: str | None) -> DropCurve:
    if isinstance(order, str):
        return _absent(kind, order)
    found, measure = shared.found, shared.bench.objective
    refused = next((found.refused[cut] for cut in order.cuts if cut in found.refused), None)
    if unusable or refused:
        return _absent(kind, unusable or refused or "")
    taken = weigh(
        shared.bench.model,
        shared.texts[0].batches[0],
        layers=shared.bench.layers,
        route=shared.way.route,
        kind=kind,
    )
    margin = measure.margin(found.samples)
    made = tuple(
        _step(cut, shared.cost[cut], value, taken, margin)
        for cut, (value, _) in zip(order.cuts, order.parts, strict=True)
    )
    return DropCurve(
        kind=kind,
        metric=CHOSEN_BY[kind],
        measure=measure.name,
        unit=measure.unit,
        level=rounded(measure.level(found.samples)),
        margin=rounded(margin),
        of=order.of,
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


def _step(cut: Cut, cost: Cost, influence: float, taken: Weights, margin: float) -> Step:
    return Step(
        dropped=len(cut),
        layer=cut[-1].layer,
        influence=rounded(influence),
        effect=cost.effect,
        low=cost.low,
        high=cost.high,
        n=cost.n,
        harmless=False if cost.effect is None else None if cost.high is None else cost.high < margin,
        saved=saved_by(cut, taken),
    )


def saved_by(parts: Sequence[Ablation], taken: Weights) -> Saved:
    """What the model takes less without these parts."""
    left_out, whole = [taken.parts[ablation.layer] for ablation in parts], taken.whole
    parameters, flops = sum(part.parameters for part in left_out), sum(part.flops for part in left_out)
    cache = None if whole.cache_bytes is None else sum(part.cache_bytes or 0.0 for part in left_out)
    return Saved(
        parameters=parameters,
        parameters_share=rounded(parameters / whole.parameters),
        flops_per_token=flops,
        flops_share=rounded(flops / whole.flops),
        cache_bytes_per_token=cache,
        cache_share=None if cache is None or not whole.cache_bytes else rounded(cache / whole.cache_bytes),
    )
