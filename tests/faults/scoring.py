"""From what became of each planted fault to the table: recall with its interval, and false alarms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.planting import STRENGTHS, Result

FLOORS = {"obvious": 0.95, "moderate": 0.95, "subtle": 0.6}
MOST_FALSE_ALARMS = 1  # per untouched model
NORMAL = 1.959964  # two-sided 95%


@dataclass(frozen=True, slots=True)
class Alarms:
    """What was said of an untouched model, and what of it an ablation on further texts contradicts."""

    model: str
    raised: tuple[str, ...]  # watch or worse, after confirmation
    false: tuple[str, ...]


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95% interval of a proportion."""
    share, squared = hits / count, NORMAL**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    half = NORMAL / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def recall(results: Sequence[Result]) -> str:
    """Found of planted, with the interval where there is one."""
    if not results:
        return "-"
    hits = sum(result.found for result in results)
    low, high = wilson(hits, len(results))
    return f"{hits}/{len(results)} = {hits / len(results):.2f} [{low:.2f}, {high:.2f}]"


def table(results: Sequence[Result], alarms: Sequence[Alarms]) -> str:
    """Markdown: a row for each kind, the sums, and the false alarms of each model."""
    lines = ["| planted | to be called | " + " | ".join(STRENGTHS) + " |", "|---|---|---|---|---|"]
    for kind, rule in dict.fromkeys((result.kind, result.rule) for result in results):
        counts = []
        for strength in STRENGTHS:
            mine = [result for result in results if (result.kind, result.strength) == (kind, strength)]
            counts.append(f"{sum(result.found for result in mine)}/{len(mine)}" if mine else "-")
        lines.append(f"| {kind} | `{rule}` | {' | '.join(counts)} |")
    lines += [
        f"| **{model}** | | {' | '.join(recall(_of(results, s, model)) for s in STRENGTHS)} |"
        for model in dict.fromkeys(result.model for result in results)
    ]
    lines.append(f"| **all** | | {' | '.join(recall(_of(results, s)) for s in STRENGTHS)} |")
    lines += [
        f"{each.model}, untouched: {len(each.raised)} findings of watch or worse, of which an ablation on further texts "
        f"contradicts {len(each.false)}{': ' + ', '.join(each.false) if each.false else ''}"
        for each in alarms
    ]
    return "\n".join(lines)


def shortfalls(results: Sequence[Result], alarms: Sequence[Alarms]) -> list[str]:
    """What stays behind the aims."""
    short = []
    for strength, floor in FLOORS.items():
        mine = _of(results, strength)
        if mine and sum(result.found for result in mine) < floor * len(mine):
            short.append(f"recall of {strength} faults is {recall(mine)}, to be at least {floor}")
    short += [
        f"{len(each.false)} false alarms on {each.model}, to be at most {MOST_FALSE_ALARMS}"
        for each in alarms
        if len(each.false) > MOST_FALSE_ALARMS
    ]
    return short


def _of(results: Sequence[Result], strength: str, model: str | None = None) -> list[Result]:
    return [r for r in results if r.strength == strength and model in (None, r.model)]
