"""The auditor audited: plants faults into three models and prints how many of them the audit finds."""

import argparse
import datetime as dt
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from tests.faults.planting import STRENGTHS
from tests.faults.scoring import Alarms, shortfalls, table
from tests.faults.subjects import CHECKPOINTS
from tests.faults.training import trained
from tests.faults.work import Task, done

# Rules were mended while looking at the former, 2 to 4 were partly seen; the latter serve the figure alone.
DEVELOPMENT, FINAL = (0, 1, 2, 3, 4), (5, 6)
WORKERS = 2


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
        for finished in as_completed([pool.submit(done, task) for task in tasks]):
            for found in finished.result():
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


if __name__ == "__main__":
    sys.exit(main())
