"""`attnaudit wait`: until jobs are done, with their progress."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from audit.outcomes import worst
from workers.jobs import Job
from workers.outcomes import code_of
from workers.verbs.common import bars_on, client_for, json_option, print_json, record, store_option


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option("--timeout", type=float, help="Give up after that many seconds (exit code 5).")
@store_option
@json_option
def wait(jobs: tuple[str, ...], *, timeout: float | None, store: Path | None, as_json: bool) -> int:
    """Wait until each JOB has ended.

    Exit code, the worst of them: 0 verdict pass or watch, 1 fail, 2 refused, 3 inconclusive, 4 a fault of ours,
    5 a fault of the machine, cancelled or quarantined.
    """
    client, settings = client_for(store)
    with client, _shown() as show:
        done = [client.wait(job, timeout=timeout, seen=show) for job in jobs]
    if as_json:
        print_json([record(job) for job in done])
    else:
        for job in done:
            click.echo(_line(job, settings.store))
    return worst(code_of(job) for job in done)


def _line(job: Job, store: Path) -> str:
    if job.audit_id is None:
        return f"{job.id}  {job.state}: {job.reason}"
    report = store / job.audit_id / "report.html"
    return f"{job.id}  {job.state}: verdict {job.verdict}, {report if report.exists() else job.audit_id}"


@contextmanager
def _shown() -> Iterator[Callable[[Job], None]]:
    """A bar on a terminal; elsewhere a line for each change of state or stage."""
    console = Console(file=sys.stderr, soft_wrap=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    with bars_on(console) as bars:
        bar = bars.add_task("queued", total=None)
        yield lambda job: bars.update(bar, description=_state(job), **_progress(job))


def _progress(job: Job) -> dict[str, Any]:
    if job.is_final:
        return {"completed": 1, "total": 1}
    return {"completed": job.done, "total": job.total or None}


def _lines(console: Console) -> Callable[[Job], None]:
    said: set[str] = set()

    def show(job: Job) -> None:
        line = f"{job.id}  {_state(job)}"
        if line not in said:
            said.add(line)
            console.print(line, highlight=False, markup=False)

    return show


def _state(job: Job) -> str:
    if job.state != "running":
        return job.state
    again = f" (attempt {job.attempt})" if job.attempt > 1 else ""
    return f"{job.stage or 'running'}{again}"
