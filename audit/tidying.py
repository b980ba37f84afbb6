"""Gives back between stages, and between long steps of one, the memory that they no longer need."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from audit.models.allocator import trim
from audit.progress import Advance, Progress

# seconds, of a stage and of one of its steps: looking for cycles takes .2, and what is done sooner leaves few
_STAGE, _STEP = 2.0, 10.0


class Tidy:
    """Shows stages; what comes next would find no use for the holes that one leaves, which have other sizes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Open a stage of `total` steps."""
        began = last = time.monotonic()

        def step(count: int) -> None:
            nonlocal last
            advance(count)
            if time.monotonic() - last > _STEP:
                _give_back()
            last = time.monotonic()

        with self._progress.stage(name, total) as advance:
            yield step
            if time.monotonic() - began > _STAGE:
                _give_back()
            else:
                trim()


def _give_back() -> None:
    gc.collect()  # passes backward leave their graphs in cycles
    trim()
