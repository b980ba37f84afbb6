"""`attnaudit submit`: an audit for the queue."""

from pathlib import Path
from typing import Any

import click

from audit.cli.options import plan_options, shards_option
from audit.results import Plan
from workers.paths import relative
from workers.serve.notice import served_root
from workers.verbs.common import client_for, store_option


@click.command()
@click.argument("checkpoint")
@store_option
@plan_options
@click.option("--adapter", help="A LoRA adapter folder below the model root.")
@click.option(
    "--policy", metavar="FILE", help="A shipped policy's name, or a TOML file below the model root."
)
@click.option("--no-pdf", is_flag=True, help="Write the HTML report only.")
@shards_option
@click.option("--force", is_flag=True, help="Measure again although this audit exists.")
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="9 goes first.")
@click.option("--requested-by", help="Who asks; default: you.")
def submit(
    checkpoint: str,
    *,
    store: Path | None,
    policy: str | None,
    adapter: str | None,
    no_pdf: bool,
    shards: int,
    force: bool,
    priority: int,
    requested_by: str | None,
    **options: Any,
) -> int:
    """Queue an audit of CHECKPOINT, a path below the model root; prints the job's id alone."""
    client, settings = client_for(store)
    root = settings.model_root or served_root(settings)
    with client:
        job_id = client.submit(
            relative(checkpoint, root=root),
            Plan(**options),
            policy=relative(policy, root=root) if policy else None,
            adapter=relative(adapter, root=root) if adapter else None,
            priority=priority,
            requested_by=requested_by,
            pdf=not no_pdf,
            force=force,
            shards=shards,
            told=lambda why: click.echo(f"attnaudit: {why}", err=True),
        )
    click.echo(job_id)
    return 0
