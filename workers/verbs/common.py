"""What the verbs of the queue share: where the queue is, and how a job is shown."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from workers.client import Client
from workers.jobs import Job
from workers.settings import Settings, from_environment

_WIDE: Final = 1_000  # columns

store_option = click.option(
    "-o",
    "store",
    type=click.Path(path_type=Path),
    help="The store of `attnaudit serve`; default: ATTNAUDIT_STORE or audits. ATTNAUDIT_REDIS_URL goes before it.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


def client_for(store: Path | None) -> tuple[Client, Settings]:
    """A client of the queue that the environment, or else the store, names."""
    settings = from_environment(store=store)
    return Client(settings.redis_url, namespace=settings.namespace), settings


def record(job: Job) -> dict[str, Any]:
    """The job as JSON shows it."""
    return {**asdict(job), **{key: _moment(getattr(job, key)) for key in ("accepted", "started", "ended")}}


def print_json(content: object) -> None:
    """Indented JSON on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(content), indent=2))


def print_jobs(jobs: Sequence[Job]) -> None:
    """One row a job."""
    others = ("priority", "attempt", "stage", "checkpoint", "accepted", "audit")
    table = Table(
        *(Column(name, no_wrap=True) for name in ("job", "state")),  # an id must be there whole to be used
        *others,
        box=None,
    )
    for job in jobs:
        table.add_row(
            job.id,
            job.state,
            str(job.priority),
            str(job.attempt),
            progress_of(job),
            job.checkpoint,
            _moment(job.accepted) or "",
            job.audit_id or job.reason or "",
        )
    print_table(table if jobs else "no jobs")


def print_table(table: Table | str) -> None:
    """To standard output; nothing is cut where it is not a terminal."""
    console = Console(markup=False)  # names of checkpoints are text
    (console if console.is_terminal else Console(width=_WIDE, markup=False)).print(table, highlight=False)


def bars_on(console: Console) -> Progress:
    """Bars of what is waited for; none where `console` is no terminal."""
    columns = (
        TextColumn("{task.description:<34}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def progress_of(job: Job) -> str:
    """The stage with its steps, where there is one."""
    if job.state != "running":
        return ""
    return f"{job.stage} {job.done}/{job.total}" if job.total else job.stage


def _moment(seconds: float | None) -> str | None:
    return (
        None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
    )
