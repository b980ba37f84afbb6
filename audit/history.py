"""What the record that stands with a checkpoint says of its training, for its audit."""

import math
from collections.abc import Sequence
from dataclasses import replace

from audit.results.training import Logged, Training
from audit.statistics.course import course

_LINES, _EVALS = 400, 100  # that an audit keeps of training and of evaluation
_NUMBERS = ("epoch", "loss", "gradient_norm", "learning_rate", "eval_loss")


def trained(record: Training | None) -> Training | None:
    """`record` with how the training went, thinned out to what an audit keeps; every number in it is finite."""
    if record is None or not record.curve:
        return record
    bounds = [s.value for s in record.settings if s.name == "max_grad_norm" and isinstance(s.value, float)]
    went = course(record.curve, bound=bounds[0] if bounds else None)
    far = {each.step for each in went.excursions}
    kept = (
        _spread([line for line in record.curve if line.eval_loss is None], _LINES)
        | _spread([line for line in record.curve if line.eval_loss is not None], _EVALS)
        | far
    )
    thinned = tuple(_finite(line) for line in record.curve if line.step in kept)
    return replace(record, course=went, curve=thinned)


def _spread(lines: Sequence[Logged], most: int) -> set[int]:
    """The steps of at most `most` lines, evenly picked; the last is among them."""
    every = math.ceil(len(lines) / most) if lines else 1
    return {line.step for line in lines[::-every]}


def _finite(line: Logged) -> Logged:
    return Logged(step=line.step, **{name: _or_none(getattr(line, name)) for name in _NUMBERS})


def _or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
