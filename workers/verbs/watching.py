"""`attnaudit status`, `jobs` and `cancel`: what the queue holds."""

from pathlib import Path
from typing import cast

import click

from workers.jobs import STATES, State
from workers.verbs.common import client_for, json_option, print_jobs, print_json, record, store_option


@click.command()
@click.argument("job")
@store_option
@json_option
def status(job: str, *, store: Path | None, as_json: bool) -> int:
    """Show one JOB: its state, stage, and why it ended as it did."""
    client, _ = client_for(store)
    with client:
        found = client.status(job)
    if as_json:
        print_json(record(found))
        return 0
    for key, value in record(found).items():
        if value not in (None, "", (), 0) or key == "attempt":
            shown = "; ".join(map(str, found.deaths)) if key == "deaths" else value
            click.echo(f"{key:13} {shown}")
    return 0


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="Skip that many.")
@store_option
@json_option
def jobs(*, state: str | None, limit: int, first: int, store: Path | None, as_json: bool) -> int:
    """List jobs, newest first; with --state queued, the next to run first."""
    client, _ = client_for(store)
    with client:
        found = client.jobs(cast("State | None", state), first=first, limit=limit)
    if as_json:
        print_json([record(job) for job in found])
    else:
        print_jobs(found)
    return 0


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@store_option
def cancel(jobs: tuple[str, ...], *, store: Path | None) -> int:
    """Cancel each JOB, also while it runs; what has ended stays as it is."""
    client, _ = client_for(store)
    with client:
        for job in jobs:
            before = client.cancel(job)
            stays = before not in {"queued", "running"}
            click.echo(
                f"{job}  {'is ' + before + ' and stays so' if stays else 'cancelled while ' + before}",
                err=True,
            )
    return 0
