"""`attnaudit batch`: every checkpoint of a manifest, here or through the queue, and one report over them."""

import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from audit import manifest as manifests
from audit.batch import FOLDER, RECORD, Row
from audit.batching import audit_batch
from audit.cli.bars import progress_on
from audit.cli.main import INTERRUPTED
from audit.cli.options import plan_options
from audit.manifest import Item, Manifest
from workers.batches import Standing
from workers.message import Message
from workers.paths import relative
from workers.serve.notice import served_root
from workers.settings import from_environment
from workers.verbs.common import bars_on, client_for


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "store", type=click.Path(path_type=Path), help="The store; default: ATTNAUDIT_STORE or audits."
)
@plan_options
@click.option("--policy", metavar="FILE", help="A policy in TOML, or the name of a shipped one.")
@click.option("--no-pdf", is_flag=True, help="Write HTML reports only.")
@click.option("--force", is_flag=True, help="Measure again although audits exist.")
@click.option("--queue", is_flag=True, help="Through the queue of `attnaudit serve` or ATTNAUDIT_REDIS_URL.")
@click.option(
    "--priority", type=click.IntRange(0, 9), default=4, show_default=True, help="In the queue; 9 goes first."
)
@click.option("--json", "as_json", is_flag=True, help="Print batch.json and nothing else.")
def batch(
    manifest: Path, *, store: Path | None, queue: bool, as_json: bool, priority: int, **options: Any
) -> int:
    """Audit every checkpoint that MANIFEST (TOML, CSV or a folder of checkpoints) names, with one report over all.

    What the manifest says goes before the options. Audits that exist are not made again. Exit code, the worst of
    them: 4 a fault of ours, 5 of the machine, 1 a verdict fail, 3 one inconclusive or refused, 0. 2: a manifest that
    cannot be used.
    """
    no_pdf, force = options.pop("no_pdf"), options.pop("force")
    asked = manifests.read(manifest, options)
    try:
        if queue:
            folder, code = _queued(asked, store, pdf=not no_pdf, force=force, priority=priority)
        else:
            folder, code = _here(asked, from_environment(store=store).store, pdf=not no_pdf, force=force)
    except KeyboardInterrupt:
        click.echo("interrupted; what is done stays, and the same command goes on from there", err=True)
        return INTERRUPTED
    if as_json:
        click.echo((folder / RECORD).read_text("utf-8"), nl=False)
    else:
        for path in sorted(folder.glob("report.*")):
            click.echo(path)
    return code


def _here(asked: Manifest, store: Path, *, pdf: bool, force: bool) -> tuple[Path, int]:
    command = shlex.join(["attnaudit", *sys.argv[1:]])
    with progress_on(sys.stderr) as progress:
        done = audit_batch(
            asked, store=store, pdf=pdf, force=force, progress=progress, command=command, told=_tell
        )
    return done.folder, done.batch.exit_code


def _tell(row: Row) -> None:
    click.echo(f"{row.checkpoint}: {row.verdict or row.reason}", err=True)


def _queued(
    asked: Manifest, store: Path | None, *, pdf: bool, force: bool, priority: int
) -> tuple[Path, int]:
    client, settings = client_for(store)
    root = settings.model_root or served_root(settings)
    with client:
        messages = [
            (item.name, _message(item, root, pdf=pdf, force=force, priority=priority)) for item in asked.items
        ]
        batch = client.submit_batch(asked.name, messages, pdf=pdf)
        click.echo(f"batch {batch} accepted; it goes on without this command, which only waits", err=True)
        with _shown() as show:
            done = client.wait_batch(batch, seen=show)
    return settings.store / FOLDER / str(done.report), done.exit_code or 0


def _message(item: Item, root: Path | None, *, pdf: bool, force: bool, priority: int) -> Message:
    policy = item.policy
    probes = tuple(relative(probe, root=root) for probe in item.plan.probes)
    return Message(
        checkpoint=relative(item.checkpoint, root=root),
        plan=dataclasses.replace(item.plan, probes=probes),
        policy=relative(policy, root=root) if policy else None,
        adapter=relative(item.adapter, root=root) if item.adapter else None,
        priority=priority,
        requested_by="batch",
        pdf=pdf,
        force=force,
    )


@contextmanager
def _shown() -> Iterator[Callable[[Standing], None]]:
    """A bar of ended jobs on a terminal; nothing elsewhere."""
    console = Console(file=sys.stderr)
    with bars_on(console) as bars:
        bar = bars.add_task("queued", total=None)
        yield lambda standing: bars.update(
            bar, description=_said(standing), completed=standing.ended, total=standing.states.total()
        )


def _said(standing: Standing) -> str:
    return ", ".join(f"{count} {state}" for state, count in standing.states.items())
