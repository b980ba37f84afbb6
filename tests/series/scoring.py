"""How early a series warned, against when the loss diverged."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from tests.series.training import FAR_TOO_HIGH, SANE

LEAD, SHARE = 0.1, 0.8  # of the steps; of the divergences


class Trained(NamedTuple):
    """One training, and what the audit of its series said."""

    seed: int
    rate: float
    losses: tuple[float, ...]  # of every step
    diverged: int | None  # step
    warned: int | None
    kind: str
    highest: float  # freezing of any layer at any checkpoint

    @property
    def lead(self) -> float | None:
        """Share of all steps that the warning came before the divergence; None where one of them did not happen."""
        if self.diverged is None or self.warned is None:
            return None
        return (self.diverged - self.warned) / len(self.losses)


def shortfalls(trained: Sequence[Trained]) -> list[str]:
    """What the figures lack; nothing where they hold."""
    healthy = [each for each in trained if each.rate == SANE]
    doomed = [each for each in trained if each.rate == FAR_TOO_HIGH]
    early = [each for each in doomed if each.lead is not None and each.lead >= LEAD]
    missed = [f"seed {each.seed} at {SANE:g} was warned of" for each in healthy if each.warned is not None]
    missed += [f"seed {each.seed} at {SANE:g} diverged" for each in healthy if each.diverged is not None]
    missed += [
        f"seed {each.seed} at {FAR_TOO_HIGH:g} did not diverge" for each in doomed if each.diverged is None
    ]
    if not doomed or len(early) < SHARE * len(doomed):
        missed.append(
            f"{len(early)} of {len(doomed)} divergences were warned of {LEAD:.0%} of the steps before"
        )
    return missed


def table(trained: Sequence[Trained]) -> str:
    """A row for each training, as Markdown."""
    lines = [
        "| peak rate | seed | lowest loss | last loss | diverges at step | first warning | the loss then | lead | highest freezing |",
        "|---:|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for each in trained:
        warned = "none" if each.warned is None else f"{each.kind}, step {each.warned}"
        then = "" if each.warned is None else _level(each.losses[: max(each.warned, 20)])
        lead = "" if each.lead is None else f"{each.lead:.0%}"
        ends = each.diverged if each.diverged is not None else "never"
        lines.append(
            f"| {each.rate:g} | {each.seed} | {_lowest(each.losses)} | {_level(each.losses)} | {ends} | {warned} | {then} | "
            f"{lead} | {each.highest:.2f} |"
        )
    return "\n".join(lines)


def _level(losses: Sequence[float]) -> str:
    return f"{sum(losses[-20:]) / 20:.2f}"


def _lowest(losses: Sequence[float]) -> str:
    levels = [sum(losses[end - 20 : end]) / 20 for end in range(20, len(losses) + 1)]
    return f"{min(level for level in levels if math.isfinite(level)):.2f}"
