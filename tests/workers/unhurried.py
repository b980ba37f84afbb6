"""The real program of a child process, with time to be killed: each batch takes a while and is noted in a file."""

import os
import time
from pathlib import Path

from audit import pieces
from workers import child

NOTES, PAUSE = "UNHURRIED_NOTES", "UNHURRIED_PAUSE"  # in the environment: the file, seconds
_observe = pieces.observe


def warm() -> None:
    """As the real one."""
    child.warm()


def perform(run, line) -> None:
    """As the real one, batch by batch."""
    pieces.observe = _unhurried
    child.perform(run, line)


def _unhurried(model, batch, *given, **named):
    with Path(os.environ[NOTES]).open("a") as notes:
        notes.write(f"{run_of(batch)} {os.getpid()}\n")
    time.sleep(float(os.environ[PAUSE]))
    return _observe(model, batch, *given, **named)


def run_of(batch) -> str:
    """A name of the batch."""
    return f"{batch.documents[0]}/{batch.samples[0]}".replace(" ", "_")
