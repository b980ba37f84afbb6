"""How a training went, from what it logged: levels, oscillation and excursions, by medians, which no single line moves."""

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from audit.results.training import Course, Excursion, Logged, SeriesName

_SIGMA = 1.4826  # standard deviation of a normal variable over the median of its absolute deviation
_LEAST = 20  # values before levels or deviations mean anything
_WINDOW = 50  # values an excursion is compared with
_PARTS = 10
_FARTHEST = 1e9  # deviations: a record of absurd numbers stays one of numbers
_FAR = 5.0  # deviations from which on an excursion is kept; the policy says which count
_KEPT = 100
_GRAIN = 0.01  # logged losses are rounded: a spread below a hundredth of the level is not believed


class _Levels(NamedTuple):
    first: float
    last: float
    best: float
    best_step: int


def course(curve: Sequence[Logged], *, bound: float | None) -> Course:
    """Numbers on the logged lines, in order of steps; `bound` is the norm that gradients were clipped to, if known."""
    losses = [(line.step, line.loss) for line in curve if line.loss is not None]
    norms = [(line.step, line.gradient_norm) for line in curve if line.gradient_norm is not None]
    finite = [(step, value) for step, value in losses if math.isfinite(value)]
    sound = [(step, value) for step, value in norms if math.isfinite(value)]
    why = _unjudged(finite)
    levels = None if why else _levels(finite)
    found = [*_excursions("loss", [] if why else finite), *_excursions("gradient norm", sound)]
    rates = [(line.step, line.learning_rate) for line in curve if line.learning_rate is not None]
    peak = max(rates, key=lambda rate: rate[1], default=None)
    evals = [(line.step, line.eval_loss) for line in curve if _is_finite(line.eval_loss)]
    best = min(evals, key=lambda each: each[1] or 0.0, default=None)
    return Course(
        losses=len(losses),
        norms=len(norms),
        not_finite=len(losses) - len(finite) + len(norms) - len(sound),
        broken_since=_broken(losses, norms),
        first=levels.first if levels else None,
        last=levels.last if levels else None,
        best=levels.best if levels else None,
        best_step=levels.best_step if levels else None,
        oscillation=None if why else _oscillation([value for _, value in finite]),
        excursions=tuple(sorted(found, key=lambda each: -each.deviations)[:_KEPT]),
        peak_rate=peak[1] if peak else None,
        last_rate=rates[-1][1] if rates else None,
        warmup=peak[0] / rates[-1][0] if peak and rates[-1][0] and peak[0] > rates[0][0] else None,
        clipped=sum(value > bound for _, value in sound) / len(sound) if sound and bound else None,
        eval_best=best[1] if best else None,
        eval_best_step=best[0] if best else None,
        eval_last=evals[-1][1] if evals else None,
        absent=why,
    )


def _unjudged(finite: Sequence[tuple[int, float]]) -> str | None:
    if len(finite) < _LEAST:
        return f"{len(finite)} finite training losses are logged, and levels take {_LEAST}"
    if min(value for _, value in finite) <= 0:
        return "the training loss is not above 0 throughout, so that no share of it means anything"
    return None


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _levels(finite: Sequence[tuple[int, float]]) -> _Levels:
    """Median loss of the first, the last and the lowest of ten parts."""
    edges = [round(part * len(finite) / _PARTS) for part in range(_PARTS + 1)]
    parts = [finite[edges[part] : edges[part + 1]] for part in range(_PARTS)]
    levels = [median(value for _, value in part) for part in parts]
    lowest = levels.index(min(levels))
    return _Levels(levels[0], levels[-1], levels[lowest], parts[lowest][-1][0])


def _oscillation(values: Sequence[float]) -> float:
    """From differences between neighbours, so that a trend does not count; relative to their mean."""
    steps = [abs(after - before) / ((after + before) / 2) for before, after in itertools.pairwise(values)]
    return _SIGMA * median(steps) / math.sqrt(2)


def _excursions(series: SeriesName, values: Sequence[tuple[int, float]]) -> Iterator[Excursion]:
    before: deque[float] = deque(maxlen=_WINDOW)
    for step, value in values:
        if len(before) >= _LEAST:
            level = median(before)
            spread = max(_SIGMA * median(abs(each - level) for each in before), _GRAIN * abs(level))
            if value - level > _FAR * spread and spread > 0:
                yield Excursion(
                    series=series,
                    step=step,
                    value=value,
                    level=level,
                    deviations=min((value - level) / spread, _FARTHEST),
                )
        before.append(value)


def _broken(losses: Sequence[tuple[int, float]], norms: Sequence[tuple[int, float]]) -> int | None:
    """The step from which on losses or norms are never finite again."""
    starts = []
    for series in (losses, norms):
        sound = [index for index, (_, value) in enumerate(series) if math.isfinite(value)]
        after = sound[-1] + 1 if sound else 0
        if after < len(series):
            starts.append(series[after][0])
    return min(starts, default=None)
