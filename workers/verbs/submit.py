"""`attnaudit submit`: an audit for the queue."""

from pathlib import Path
from typing import Any

import click

from audit.results import Plan
from workers.paths import relative
from workers.serve.notice import served_root
from workers.verbs.common import client_for, store_option

_DEFAULT = Plan()


@click.command()
@click.argument("checkpoint")
@store_option
@click.option(
    "--depth", type=click.Choice(["quick", "standard", "full"]), default=_DEFAULT.depth, show_default=True
)
@click.option(
    "--probe", "probes", multiple=True, metavar="NAME_OR_FILE", help="Repeatable; default by depth."
)
@click.option("--samples", type=int, default=_DEFAULT.samples, show_default=True, help="Samples per probe.")
@click.option(
    "--max-length", type=int, default=_DEFAULT.max_length, show_default=True, help="Tokens per sample."
)
@click.option("--batch-size", type=int, default=_DEFAULT.batch_size, show_default=True)
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Repeatable; default by depth.")
@click.option("--adapter", help="A LoRA adapter folder below the model root.")
@click.option("--chat", is_flag=True, help="Put probes through the tokenizer's chat template.")
@click.option("--device", default=_DEFAULT.device, show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default=_DEFAULT.dtype,
    show_default=True,
)
@click.option("--threads", type=int, help="Threads of the tensor library; default: the worker's.")
@click.option(
    "--policy", metavar="FILE", help="A shipped policy's name, or a TOML file below the model root."
)
@click.option("--no-confirm", is_flag=True, help="Leave findings unconfirmed: no ablation is run.")
@click.option("--allow-pickle", is_flag=True, help="Read .bin weights, where the service lets it.")
@click.option("--no-pdf", is_flag=True, help="Write the HTML report only.")
@click.option("--show-text", is_flag=True, help="Show excerpts of your own probes in the report.")
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
    no_confirm: bool,
    force: bool,
    priority: int,
    requested_by: str | None,
    **options: Any,
) -> int:
    """Queue an audit of CHECKPOINT, a path below the model root; prints the job's id alone."""
    client, settings = client_for(store)
    root = settings.model_root or served_root(settings)
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list | tuple) else value for key, value in options.items()
    }
    with client:
        job_id = client.submit(
            relative(checkpoint, root=root),
            Plan(**values, confirm=not no_confirm),
            policy=relative(policy, root=root) if policy else None,
            adapter=relative(adapter, root=root) if adapter else None,
            priority=priority,
            requested_by=requested_by,
            pdf=not no_pdf,
            force=force,
        )
    click.echo(job_id)
    return 0
