"""The real program of a child process, with time to be killed: each batch takes a while.

Batches and steps that are made are noted in a file.
"""

import os
import time
from pathlib import Path

from audit import kept, pieces, sharing
from workers import child

STEP = "step-"
NOTES, PAUSE = "UNHURRIED_NOTES", "UNHURRIED_PAUSE"  # in the environment: the file, seconds
_observe = pieces.observe


def warm() -> None:
    """As the real one."""
    child.warm()


def perform(run, line) -> None:
    """As the real one, batch by batch."""
    pieces.observe = _unhurried
    sharing.Kept = _Noted
    child.perform(run, line)


class _Noted(kept.Kept):
    """A step: noted when it was made."""

    def write(self, data) -> None:
        note(f"{STEP}{self._identity}")
        super().write(data)


def note(what: str) -> None:
    """One line: what, and by which process."""
    with Path(os.environ[NOTES]).open("a") as notes:
        notes.write(f"{what} {os.getpid()}\n")


def _unhurried(model, batch, *given, **named):
    note(run_of(batch))
    time.sleep(float(os.environ[PAUSE]))
    return _observe(model, batch, *given, **named)


def run_of(batch) -> str:
    """A name of the batch."""
    return f"{batch.documents[0]}/{batch.samples[0]}".replace(" ", "_")
