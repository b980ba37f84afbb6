"""What each cut costs: its effect with interval, the test against the margin, and what it costs on each probe."""

from dataclasses import dataclass, field

import numpy as np

from audit.interventions.ablation import Cut
from audit.interventions.readings import Array, Objective, Samples
from audit.interventions.trials import Tried
from audit.numerics import rounded
from audit.statistics.bootstrap import MINIMUM_DOCUMENTS
from audit.statistics.noninferiority import further_documents, paired_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one cut, in the objective's unit; larger is worse. None where it could not be had."""

    effect: float | None  # None: the model's output is not finite any more
    low: float | None = None
    high: float | None = None
    p: float | None = None  # of 'it costs at least the margin'
    n: int = 0  # documents
    by_probe: dict[str, float | None] = field(default_factory=dict)
    changes: Array = field(default_factory=lambda: np.zeros(0), repr=False)  # per document, as tested


def costs(tried: Tried, objective: Objective, *, seed: int) -> dict[Cut, Cost]:
    """What each cut that was tried costs; `seed` fixes the resamples of the intervals."""
    samples = tried.samples
    sound = {cut: read for cut, read in tried.changed.items() if _is_finite(samples, read)}
    found = {cut: Cost(effect=None) for cut in tried.changed if cut not in sound}
    if sound:
        changes = np.stack([objective.changes(samples, read) for read in sound.values()], axis=1)
        margin = objective.as_change(objective.margin(samples))
        judged = paired_changes(changes, margins=margin, seed=seed)
        for place, (cut, read) in enumerate(sound.items()):
            value, low, high, p = (float(column[place]) for column in judged[:4])
            found[cut] = Cost(
                effect=rounded(objective.as_effect(value)),
                low=rounded(objective.as_effect(low)),
                high=rounded(objective.as_effect(high)),
                p=rounded(p),
                n=judged.n,
                by_probe=_by_probe(samples, read, objective),
                changes=changes[:, place],
            )
    return {cut: found[cut] for cut in tried.changed}


def further(cost: Cost, objective: Objective, margin: float, *, tests: int) -> int | None:
    """About how many more documents would decide; None where they would not."""
    if len(cost.changes) < 2:
        return MINIMUM_DOCUMENTS
    return further_documents(cost.changes, margin=objective.as_change(margin), tests=tests)


def _by_probe(samples: Samples, read: Array, objective: Objective) -> dict[str, float | None]:
    """The effect on each probe, where there are several."""
    names = tuple(dict.fromkeys(samples.probes))
    if len(names) == 1:
        return {}
    return {name: _effect(samples.only(name), read[samples.of(name)], objective) for name in names}


def _effect(samples: Samples, read: Array, objective: Objective) -> float | None:
    if objective.unusable(samples) is not None:
        return None
    changes = objective.changes(samples, read)
    return rounded(objective.as_effect(float(changes.mean()))) if len(changes) else None


def _is_finite(samples: Samples, read: Array) -> bool:
    """Whether what was read is finite wherever it was before."""
    return bool(np.isfinite(read[np.isfinite(samples.clean)]).all())
