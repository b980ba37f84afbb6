"""`attnaudit schedule`: recurring audits of the running service."""

import datetime as dt
from pathlib import Path

import click
from rich.table import Column, Table

from workers.connections import connected, reachable
from workers.schedule import entries
from workers.schedule.book import Schedules
from workers.settings import from_environment
from workers.verbs.common import json_option, print_json, print_table, store_option


@click.group()
def schedule() -> None:
    """Recurring audits: apply a file, list what is in force, remove one."""


@schedule.command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
def apply_file(file: Path, *, store: Path | None) -> int:
    """Put the entries of FILE in force; entries of the same name are replaced, others stay."""
    found = entries.read(file)
    _schedules(store).apply(found)
    click.echo(f"in force: {', '.join(entry.name for entry in found)}", err=True)
    return 0


@schedule.command("list")
@store_option
@json_option
def list_entries(*, store: Path | None, as_json: bool) -> int:
    """List the schedules in force."""
    known = _schedules(store).all()
    if as_json:
        print_json({name: applied.content for name, applied in known.items()})
        return 0
    names = ("schedule", "when", "checkpoints", "policy", "since")
    table = Table(*(Column(name, overflow="fold") for name in names), box=None, pad_edge=False)
    for name, applied in known.items():
        entry = applied.content
        since = dt.datetime.fromtimestamp(applied.since, dt.UTC).isoformat(timespec="seconds")
        when = f"{entry.cron} {entry.timezone}" if entry.cron else f"every {entry.every} s"
        table.add_row(
            name,
            f"{when}, new ones" if entry.new else when,
            " ".join(entry.checkpoints),
            entry.policy or "default",
            since,
        )
    print_table(table if known else "no schedules")
    return 0


@schedule.command("remove")
@click.argument("name")
@store_option
def remove(name: str, *, store: Path | None) -> int:
    """Remove the schedule NAME; jobs it made stay."""
    _schedules(store).remove(name)
    return 0


def _schedules(store: Path | None) -> Schedules:
    settings = from_environment(store=store)
    redis = connected(settings.redis_url, retries=3)
    reachable(redis, settings.redis_url)
    return Schedules(redis, namespace=settings.namespace)
