"""The auditor audited: plants faults into three models and prints how many of them the audit finds."""

import argparse
import datetime as dt
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple

import torch

from tests.faults.planting import STRENGTHS, Result, planted_copies, texts
from tests.faults.scoring import Alarms, shortfalls, table
from tests.faults.subjects import CHECKPOINTS, opened
from tests.faults.training import trained
from tests.faults.untouched import alarms

DEVELOPMENT, FINAL = (
    (0, 1),
    (2, 3),
)  # rules were mended while looking at the former; the latter serve the figure alone
WORKERS = 2


class Task(NamedTuple):
    """What one process does at a time; without a strength the model is left untouched."""

    model: str
    seed: int
    strength: str | None


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where the aims are met."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--models", nargs="+", default=list(CHECKPOINTS), choices=list(CHECKPOINTS))
    parser.add_argument("--strengths", nargs="+", default=list(STRENGTHS), choices=STRENGTHS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(FINAL))
    asked = parser.parse_args(arguments)
    if "GPT-2" in asked.models:
        trained(CHECKPOINTS["GPT-2"])
    tasks = [Task(model, seed, s) for model in asked.models for seed in asked.seeds for s in asked.strengths]
    tasks += [Task(model, asked.seeds[0], None) for model in asked.models]
    results, raised, start = [], [], time.monotonic()
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_done, task) for task in tasks]):
            for found in done.result():
                (raised if isinstance(found, Alarms) else results).append(found)
    order = list(CHECKPOINTS)
    raised.sort(key=lambda each: order.index(each.model))
    results.sort(key=lambda each: (order.index(each.model), each.rule, each.kind))
    minutes = (time.monotonic() - start) / 60
    print(f"\n{dt.datetime.now(dt.UTC).date()}, seeds {asked.seeds}, {minutes:.0f} minutes\n")
    print(table(results, raised))
    missing = shortfalls(results, raised)
    print("\n".join(missing))
    return int(bool(missing))


def _done(task: Task) -> list[Result | Alarms]:
    """Runs in a process of its own."""
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


if __name__ == "__main__":
    sys.exit(main())
