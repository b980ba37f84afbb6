"""Judges gradients over depth by what no rescaling changes: those of the matrices and of the stream, each with its size."""

import math
from collections.abc import Iterator
from statistics import median

from audit.definitions import Case, Judgement, NotApplicable, NotMeasured
from audit.results import Evidence
from audit.rules._depth import LEAST_LAYERS, Profile, profiles
from audit.rules._reading import measured_texts, shown

STREAM = "hidden_gradient"
MATRICES = (
    "value_gradient",
    "output_gradient",
    "mlp_gradient",
)  # queries and keys vanish for reasons of their own


def unjudged(case: Case) -> Judgement | None:
    """Why gradients cannot be judged over depth, or None where they can."""
    if not measured_texts(case, STREAM):
        reasons = [found.absent for found in case.measurements.get(STREAM, {}).values() if found.absent]
        return NotMeasured(reasons[0] if reasons else f"{STREAM} was not measured: --depth full does")
    if not any(list(profiles(case, (STREAM,), probe)) for probe in measured_texts(case, STREAM)):
        return NotApplicable(f"fewer than {LEAST_LAYERS} layers have no trend over depth")
    return None


def grown(case: Case, *, backwards: bool) -> tuple[tuple[str, float, tuple[Evidence, ...]], ...]:
    """The stacks whose gradients grow (shrink) towards the first layer by more than `ratio` on every text probe.

    Of each: its name, the factor of the stream, and the numbers behind it. Stream and matrices have to agree.
    """
    found = []
    for stack in dict.fromkeys(layer.stack for layer in case.coverage.layers):
        evidence: list[Evidence] = []
        factors = []
        for probe in measured_texts(case, STREAM):
            mine = [p for p in profiles(case, (STREAM, *MATRICES), probe) if p.stack == stack]
            if not _agree(mine, case.thresholds["ratio"], backwards=backwards):
                break
            factors.append(next(p.growth for p in mine if p.metric == STREAM))
            evidence += [
                item for p in mine for item in _ends(p, case.thresholds["ratio"], backwards=backwards)
            ]
        else:
            if factors:
                found.append((stack, median(factors), tuple(evidence)))
    return tuple(found)


def _agree(mine: list[Profile], ratio: float, *, backwards: bool) -> bool:
    sign = 1 if backwards else -1
    logs = {profile.metric: sign * math.log(profile.growth) for profile in mine}
    matrices = [log for metric, log in logs.items() if metric != STREAM]
    return bool(matrices) and min(logs.get(STREAM, 0.0), median(matrices)) >= math.log(ratio)


def _ends(profile: Profile, ratio: float, *, backwards: bool) -> Iterator[Evidence]:
    """The first layer against what the last would allow it."""
    first, last = profile.cells[0], profile.cells[-1]
    limit = last.value * ratio if backwards else last.value / ratio
    yield shown(
        first, profile.metric, profile.probe, threshold=limit, direction="above" if backwards else "below"
    )
