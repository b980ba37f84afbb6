"""Options that every command which makes audits takes: what to do, not where or with what."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from audit.cli.sizes import Size
from audit.limits import MOST_SHARDS
from audit.results import Plan

_DEFAULT: Final = Plan()
baseline_option = click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="AUDIT_DIR",
    help="Say in the report's summary what changed since this audit.",
)
shards_option = click.option(
    "--shards",
    type=click.IntRange(1, MOST_SHARDS),
    default=1,
    show_default=True,
    help="Workers of the queue that share the audit (only with `attnaudit submit`).",
)
_OPTIONS: Final = (
    click.option(
        "--depth", type=click.Choice(["quick", "standard", "full"]), default=_DEFAULT.depth, show_default=True
    ),
    click.option(
        "--probe", "probes", multiple=True, metavar="NAME_OR_FILE", help="Repeatable; default by depth."
    ),
    click.option(
        "--samples", type=int, default=_DEFAULT.samples, show_default=True, help="Samples per probe."
    ),
    click.option(
        "--max-length", type=int, default=_DEFAULT.max_length, show_default=True, help="Tokens per sample."
    ),
    click.option("--batch-size", type=int, default=_DEFAULT.batch_size, show_default=True),
    click.option(
        "--spectra",
        type=int,
        default=_DEFAULT.spectra,
        show_default=True,
        help="Samples per probe of which singular values are taken.",
    ),
    click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True),
    click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Repeatable; default by depth."),
    click.option("--chat", is_flag=True, help="Put probes through the tokenizer's chat template."),
    click.option("--device", default=_DEFAULT.device, show_default=True),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        default=_DEFAULT.dtype,
        show_default=True,
    ),
    click.option(
        "--threads", type=int, help="Threads of the tensor library; default: its own or a worker's."
    ),
    click.option(
        "--max-memory",
        type=Size(),
        help="Memory for weights and what is made of them; weights that take more than 40% of it stay on disk.",
    ),
    click.option("--allow-pickle", is_flag=True, help="Read .bin weights (with weights_only=True)."),
    click.option(
        "--no-confirm",
        "confirm",
        flag_value=False,
        default=True,
        help="Run no ablation; flags stay unconfirmed.",
    ),
    click.option("--show-text", is_flag=True, help="Show excerpts of your own probes in the report."),
)


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with an option for each field of a plan, under the field's name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
