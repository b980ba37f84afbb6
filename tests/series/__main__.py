"""Trains tiny GPTs at a sane and a far too high learning rate, audits their checkpoints, and holds the warnings to it."""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.series.following import followed
from tests.series.scoring import shortfalls, table
from tests.series.training import FAR_TOO_HIGH, SANE

SEEDS = range(5)  # the thresholds were set while looking at 10 to 13


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where the series warns early enough of 4 in 5 divergences and of no healthy training."""
    parser = argparse.ArgumentParser(prog="make series")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where the audits and the reports of the series are kept")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(followed, seed, rate, keep=asked.keep)
            for rate in (SANE, FAR_TOO_HIGH)
            for seed in asked.seeds
        ]
        trained = [each.result() for each in waiting]
    print(table(trained))
    missed = shortfalls(trained)
    print(f"\n{time.monotonic() - began:.0f} s; missed: {'; '.join(missed) or 'nothing'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
