"""What it costs to take everything chosen out at once, on texts that no finding rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

from audit.interventions.ablation import Cut
from audit.interventions.costs import costs
from audit.interventions.curve import saved_by
from audit.interventions.effects import Loss, objective
from audit.interventions.readings import Fed
from audit.interventions.savings import weigh
from audit.interventions.trials import Bench, tried, way_through
from audit.models.loading import LoadedModel
from audit.numerics import rounded
from audit.results.redundancy import Saved
from audit.results.subject import LayerCoverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Toll:
    """An effect with its interval; larger is worse, None where it is not finite or cannot be had."""

    measure: str
    unit: str
    level: float | None  # of the unchanged model
    after: float | None  # None where effects are not differences of the level
    effect: float | None
    low: float | None
    high: float | None
    margin: float | None
    n: int
    saved: Saved  # by the blocks that are left out; silenced parts save nothing


def toll(
    loaded: LoadedModel, *, layers: Sequence[LayerCoverage], cut: Cut, texts: Sequence[Fed], seed: int
) -> Toll | str:
    """The cost of `cut`, or why it cannot be measured; raises what any pass raises."""
    measure = "there is no text to measure it on" if not texts else objective(loaded, seed=seed)
    if isinstance(measure, str):
        return measure
    bench = Bench(loaded.model, layers, measure, {})
    batch = texts[0].batches[0]
    way = way_through(bench, batch)
    found = tried(bench, way, texts, [cut])
    if (why := measure.unusable(found.samples) or found.refused.get(cut)) is not None:
        return why
    cost = costs(found, measure, seed=seed)[cut]
    level = measure.level(found.samples)
    taken = weigh(loaded.model, batch, layers=layers, route=way.route, kind="blocks")
    return Toll(
        measure=measure.name,
        unit=measure.unit,
        level=rounded(level),
        after=rounded(level + cost.effect) if isinstance(measure, Loss) and cost.effect is not None else None,
        effect=cost.effect,
        low=cost.low,
        high=cost.high,
        margin=rounded(measure.margin(found.samples)),
        n=cost.n,
        saved=saved_by([a for a in cut if a.target == "block"], taken),
    )
