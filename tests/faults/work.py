"""What one process of a run does: faults planted in copies of one model, or nothing planted at all."""

from typing import NamedTuple

import torch

from tests.faults.planting import Result, planted_copies, texts
from tests.faults.scoring import Alarms
from tests.faults.subjects import opened
from tests.faults.untouched import alarms


class Task(NamedTuple):
    """What one process does at a time; without a strength the model is left untouched."""

    model: str
    seed: int
    strength: str | None


def done(task: Task) -> list[Result | Alarms]:
    """What became of each fault, or the alarms; told as they come."""
    torch.set_num_threads(1)
    loaded = opened(task.model)
    if task.strength is None:
        return [alarms(task.model, loaded, seed=task.seed)]
    found: list[Result | Alarms] = []
    for copy in planted_copies(
        task.model, loaded, texts(loaded, seed=task.seed), seed=task.seed, strength=task.strength
    ):
        found += copy
        for result in copy:
            print(_told(result), flush=True)
    return found


def _told(result: Result) -> str:
    place = f"layer {result.layer}" + (f" heads {result.heads}" if result.heads else "")
    missed = "" if result.found else f"; said: {', '.join(result.said) or 'nothing'}"
    how = f" ({', '.join(result.statuses)})" if result.statuses else ""
    return f"{'found ' if result.found else 'MISSED'} {result.model} {result.seed} {result.strength}: {result.kind}, {place}{how}{missed}"
