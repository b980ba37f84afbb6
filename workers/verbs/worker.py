"""`attnaudit worker`: one worker of a service whose Redis is elsewhere; `serve` starts its own."""

import os
from pathlib import Path

import click

from audit.errors import UnusableInput
from workers.logs import configure
from workers.settings import from_environment
from workers.verbs.common import store_option
from workers.worker import Worker


@click.command()
@store_option
def worker(*, store: Path | None) -> int:
    """Run audits from the queue, one at a time, until told to stop."""
    settings = from_environment(store=store)
    if settings.model_root is None or not settings.model_root.is_dir():
        raise UnusableInput(
            f"ATTNAUDIT_MODEL_ROOT is {str(settings.model_root or '')!r}; set it to the folder that holds the checkpoints"
        )
    configure(settings)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Celery's farewells are no log lines
    return Worker(settings).run()
