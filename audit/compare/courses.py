"""Metrics through a series of audits: the mean of all heads and layers, the lowest and the highest of them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.compare.records import Course, Point, Turn
from audit.compare.samples import Samples, paired
from audit.compare.tables import EXACT, WEIGHTS, has_heads, rounded, table
from audit.compare.testing import Tested, corrected, has_changed, spread_of, tested
from audit.statistics.bootstrap import MINIMUM_DOCUMENTS, studentised_interval
from audit.store import Entry

Array = NDArray[np.float64]


class _Draft(NamedTuple):
    metric: str
    probe: str
    course: Course
    turns: tuple[Tested, ...]  # of the mean, one cell each


def courses(
    entries: Sequence[Entry], samples: Sequence[Samples], probes: Sequence[str]
) -> dict[str, dict[str, Course]]:
    """Every metric that all measured, on every probe that all were fed; tests are corrected all together.

    `samples` are the entries' own. Where weights are not finite a metric was measured and has no number: a gap.
    """
    drafts = list(_drafts(entries, samples, probes))
    q = iter(corrected([turn.p for draft in drafts for turn in draft.turns]))
    found: dict[str, dict[str, Course]] = {}
    for draft in drafts:
        turns = tuple(_turns(draft.turns, q))
        course = draft.course
        found.setdefault(draft.metric, {})[draft.probe] = Course(
            mean=course.mean, lowest=course.lowest, highest=course.highest, turns=turns, absent=course.absent
        )
    return found


def _drafts(entries: Sequence[Entry], samples: Sequence[Samples], probes: Sequence[str]) -> Iterator[_Draft]:
    for metric, by_probe in sorted(entries[0].audit.measurements.items()):
        for probe in (*probes, WEIGHTS):
            if probe in by_probe and all(probe in e.audit.measurements.get(metric, {}) for e in entries):
                draft = _sampled(entries, samples, metric, probe) or _exact(entries, metric, probe)
                if draft:
                    yield draft


def _sampled(entries: Sequence[Entry], samples: Sequence[Samples], metric: str, probe: str) -> _Draft | None:
    values = []
    for entry, each in zip(entries, samples, strict=True):
        layers = entry.audit.coverage.layers
        found = each.values(metric, probe, layers=len(layers), heads=max(layer.heads for layer in layers))
        if found is None:
            return None
        values.append(found)
    seed = int(entries[0].audit.plan["seed"])
    means = [_over_cells(each) for each in values]
    spread = spread_of(values[0])
    turns = tuple(tested(*paired(*both), seed=seed, spread=spread) for both in pairwise(means))
    n = min(int(np.isfinite(each).sum()) for each in means)
    few = f"{n} samples are too few ({MINIMUM_DOCUMENTS} are needed)" if n < MINIMUM_DOCUMENTS else None
    by_head = has_heads(entries[0].audit.measurements[metric][probe])
    course = Course(
        mean=tuple(_point(each, (0, 0), seed=seed) for each in means),
        lowest=tuple(_extreme(each, -1, seed=seed, by_head=by_head) for each in values),
        highest=tuple(_extreme(each, 1, seed=seed, by_head=by_head) for each in values),
        turns=(),
        absent=few,
    )
    return _Draft(metric, probe, course, () if few else turns)


def _over_cells(values: Array) -> Array:
    """Mean over layers and heads of each sample, [sample, 1, 1]; NaN where it has no value at all."""
    flat = values.reshape(len(values), -1)
    count = np.isfinite(flat).sum(1)
    total = np.nansum(flat, axis=1)
    mean: Array = np.divide(total, count, out=np.full(len(flat), np.nan), where=count > 0)
    return mean[:, None, None]


def _extreme(values: Array, sign: int, *, seed: int, by_head: bool) -> Point:
    """The cell whose mean is lowest (sign -1) or highest (1), with that cell's own interval."""
    defined = np.isfinite(values)
    count = defined.sum(0)
    total = np.where(defined, values, 0.0).sum(0)
    mean = np.divide(sign * total, count, out=np.full(count.shape, -np.inf), where=count > 0)
    layer, head = (int(index) for index in np.unravel_index(int(mean.argmax()), mean.shape))
    found = _point(values, (layer, head), seed=seed)
    return Point(
        value=found.value, low=found.low, high=found.high, layer=layer, head=head if by_head else None
    )


def _point(values: Array, cell: tuple[int, int], *, seed: int) -> Point:
    interval = studentised_interval(values[:, cell[0], cell[1]][:, None], seed=seed)
    value, low, high = (rounded(float(each[0])) for each in interval[:3])
    return Point(value=value, low=low, high=high)


def _exact(entries: Sequence[Entry], metric: str, probe: str) -> _Draft | None:
    """Numbers that no sample stands behind, from the audits themselves."""
    points: list[list[Point]] = []
    for entry in entries:
        value = entry.audit.measurements[metric][probe].value
        cells = table([value] if isinstance(value, int | float) else value)
        if cells is None or not np.isfinite(cells).any():
            return None
        points.append(
            [Point(value=rounded(float(each(cells)))) for each in (np.nanmean, np.nanmin, np.nanmax)]
        )
    mean, lowest, highest = (tuple(each) for each in zip(*points, strict=True))
    return _Draft(
        metric, probe, Course(mean=mean, lowest=lowest, highest=highest, turns=(), absent=EXACT), ()
    )


def _turns(found: Sequence[Tested], q: Iterator[Array]) -> Iterator[Turn]:
    for step, each in enumerate(found, start=1):
        corrected_p = next(q)
        numbers = [
            rounded(float(array[0, 0])) for array in (each.difference, each.low, each.high, corrected_p)
        ]
        difference, low, high, chance = numbers
        if difference is not None and low is not None and high is not None and chance is not None:
            changed = bool(has_changed(each, corrected_p)[0, 0])
            yield Turn(step=step, difference=difference, low=low, high=high, q=chance, changed=changed)
