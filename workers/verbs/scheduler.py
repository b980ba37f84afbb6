"""`attnaudit scheduler`: the scheduler of a service whose Redis is elsewhere; `serve` starts its own."""

from pathlib import Path

import click

from workers.logs import configure
from workers.scheduler import Scheduler
from workers.settings import from_environment
from workers.verbs.common import store_option


@click.command()
@store_option
def scheduler(*, store: Path | None) -> int:
    """Fire due schedules and sweep, until told to stop; two at once do no harm."""
    settings = from_environment(store=store)
    configure(settings)
    return Scheduler(settings).run()
