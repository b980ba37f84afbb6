"""How the training loss stood at each checkpoint, by the record beside it."""

import math
from statistics import median

from audit.compare.records import RecordedLoss
from audit.compare.tables import rounded
from audit.results import Audit

_LINES = 5  # a single batch moves no median of five


def recorded_loss(audit: Audit) -> RecordedLoss | None:
    """Last and lowest level of the loss in the record of `audit`; None where no loss is logged."""
    if audit.training is None:
        return None
    lines = [line for line in audit.training.curve if line.eval_loss is None or line.loss is not None]
    losses = [line.loss if line.loss is not None else math.nan for line in lines]
    if not any(math.isfinite(loss) for loss in losses):
        return None
    levels = [_level(losses[max(0, end - _LINES) : end]) for end in range(1, len(losses) + 1)]
    whole = levels[min(_LINES, len(levels)) - 1 :]
    sound = [level for level in whole if math.isfinite(level)]
    return RecordedLoss(
        at=lines[-1].step, last=rounded(levels[-1]), lowest=rounded(min(sound)) if sound else None
    )


def _level(losses: list[float]) -> float:
    return median(losses) if all(map(math.isfinite, losses)) else math.nan
