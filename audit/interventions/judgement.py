"""From what cuts cost to what is said of a finding: confirmed, not confirmed, or undecided and what it would take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from audit.interventions.ablation import Ablation, Cut
from audit.interventions.costs import Cost, further
from audit.interventions.readings import Objective
from audit.numerics import rounded
from audit.results import Confirmation
from audit.statistics.noninferiority import ERROR

Status = Literal["confirmed", "not_confirmed", "needs_more_samples"]

_REPLACED = {
    "mean": "held at the mean of its output over other texts",
    "zero": "silenced",
    "uniform": "made to attend to all visible tokens alike",
    "identity": "made to attend to its own token only",
    "skip": "taken out",
    "cooled": "with its scores scaled down",
    "centred": "less even attention",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What effects are measured in and judged by."""

    objective: Objective
    level: float  # of the unchanged model
    margin: float
    tests: int  # confirmations that share the error


def p_of(found: Sequence[Cost]) -> float | None:
    """P of 'one of these cuts costs at least the margin': all must be harmless, so the largest; None if untested."""
    if any(cost.effect is None for cost in found):
        return 1.0
    known = [cost.p for cost in found if cost.p is not None]
    return max(known) if len(known) == len(found) else None


def decided(
    found: Mapping[Cut, Cost], others: Mapping[Cut, Cost], p_holm: float | None, scale: Scale
) -> Confirmation:
    """The confirmation that the cuts of one finding give; the costliest decides, `others` are shown beside them.

    Confirmed is said only where the whole interval lies inside the margin, the test corrected for all confirmations
    agrees, and no single probe has a mean cost at the margin.
    """
    cut = max(found, key=lambda each: _order(found[each]))
    status, why = _status(found[cut], p_holm, scale)
    silent = next((each for each in others if each[0].replacement == "zero"), None)
    if status == "confirmed" and silent is not None and matters(others[silent], scale):
        why += f"; but {_told(silent, others[silent], scale)}: it holds a constant, which must be kept"
    return Confirmation(
        status=status,
        reason=f"{_told(cut, found[cut], scale)}: {why}",
        details={
            "measure": scale.objective.name,
            "unit": scale.objective.unit,
            "level": rounded(scale.level),
            "margin": rounded(scale.margin),
            "replacement": cut[0].replacement,
            **shown(found[cut]),
            "p_holm": None if p_holm is None else rounded(p_holm),
            "matters": matters(found[cut], scale),
            "gain": is_gain(found[cut]),
            "others": {
                each[0].replacement: shown(cost) for each, cost in {**found, **others}.items() if each != cut
            },
        },
    )


def not_attempted(reason: str) -> Confirmation:
    """The confirmation of a finding that nothing was taken out for."""
    return Confirmation(status="not_attempted", reason=reason)


def matters(cost: Cost, scale: Scale) -> bool:
    """Whether the whole interval lies beyond the margin: it looks idle and is not."""
    return cost.effect is None or (cost.low is not None and cost.low > scale.margin)


def is_gain(cost: Cost) -> bool:
    """Whether the model is better without."""
    return cost.high is not None and cost.high < 0


def shown(cost: Cost) -> dict[str, Any]:
    """The numbers of a cost as plain JSON values."""
    return {name: getattr(cost, name) for name in ("effect", "low", "high", "p", "n", "by_probe")}


def told(cost: Cost, scale: Scale) -> str:
    """A cost in words: effect, interval, documents and what it is measured by."""
    if cost.effect is None:
        return f"{scale.objective.name}: not finite any more"
    interval = "" if cost.low is None or cost.high is None else f" [{cost.low:+.4f}, {cost.high:+.4f}]"
    return (
        f"{scale.objective.name}: {cost.effect:+.4f}{interval} {scale.objective.unit} on {cost.n} documents"
    )


def _told(cut: Cut, cost: Cost, scale: Scale) -> str:
    return f"{named(cut[0])} {_REPLACED[cut[0].replacement]}, {told(cost, scale)}"


def named(ablation: Ablation) -> str:
    """What is taken out, in words."""
    if ablation.target == "head":
        return f"head {ablation.heads[0]} of layer {ablation.layer}"
    return f"the {ablation.target} of layer {ablation.layer}"


def _order(cost: Cost) -> tuple[bool, float]:
    return cost.effect is None, cost.effect or 0.0


def _status(cost: Cost, p_holm: float | None, scale: Scale) -> tuple[Status, str]:
    within = f"the margin of {scale.margin:.4f}"
    if cost.effect is None or matters(cost, scale):
        return "not_confirmed", f"it matters, by more than {within}"
    if cost.effect >= scale.margin:
        return "not_confirmed", f"not below {within}"
    dear = [name for name, effect in cost.by_probe.items() if effect is not None and effect >= scale.margin]
    if dear:
        return "not_confirmed", f"on {dear[0]!r} alone {cost.by_probe[dear[0]]:+.4f}, not below {within}"
    if p_holm is not None and p_holm <= ERROR and cost.high is not None and cost.high < scale.margin:
        better = "; the model is better without" if is_gain(cost) else ""
        return "confirmed", f"inside {within} (p = {p_holm:.2g} over {scale.tests} confirmations){better}"
    more = further(cost, scale.objective, scale.margin, tests=scale.tests)
    if more is None:
        return "not_confirmed", f"too close to {within} for any number of samples"
    return (
        "needs_more_samples",
        f"below {within}, but not surely: needs about {more} more samples, of other documents",
    )
