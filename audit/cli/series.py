"""`attnaudit series`: every checkpoint of one training audited, what drifts, and a warning of a collapse to come."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from audit.batch import Row
from audit.cli.bars import progress_on
from audit.cli.options import plan_options
from audit.cli.run import interrupt
from audit.cli.trend import WARNED, lines
from audit.outcomes import worst
from audit.report.series import RECORD
from audit.series import audit_series, members

_UNUSABLE, _INCONCLUSIVE = 2, 3


@click.command(context_settings={"default_map": {"depth": "quick"}})
@click.argument(
    "run",
    type=click.Path(path_type=Path, exists=True),
    nargs=-1,
    required=True,
    metavar="RUN_OR_CHECKPOINT...",
)
@click.option(
    "-o", "store", type=click.Path(path_type=Path), default="audits", show_default=True, help="The store."
)
@plan_options
@click.option("--policy", metavar="FILE", help="A policy in TOML, or the name of a shipped one.")
@click.option("--no-pdf", is_flag=True, help="Draw the report over the series as HTML only.")
@click.option("--force", is_flag=True, help="Measure again although audits exist.")
@click.option("--json", "as_json", is_flag=True, help="Print trend.json and nothing else.")
def series(
    run: tuple[Path, ...], *, store: Path, no_pdf: bool, force: bool, as_json: bool, **options: Any
) -> int:
    """Audit the checkpoints of one training: a Trainer's output folder, a manifest, or checkpoints in their order.

    Says what drifts from checkpoint to checkpoint, how far the weights moved from the first, and warns of a collapse that
    attention shows while the loss may still look fine. Audits that exist are not made again. Exit code, the worst of:
    4 a fault of ours, 5 of the machine, 1 a warning or a verdict fail, 3 a checkpoint inconclusive or refused, 0. 2: no
    series.
    """
    signal.signal(signal.SIGTERM, interrupt)
    with progress_on(sys.stderr) as progress:
        done = audit_series(
            members(run, options), store=store, pdf=not no_pdf, force=force, progress=progress, told=_tell
        )
    if as_json:
        click.echo((done.folder / RECORD).read_text("utf-8"), nl=False)
    else:
        reports = (f"report    {path}" for path in sorted(done.folder.glob("report.*")))
        click.echo("\n".join([*lines(done.trend), *reports]))
    codes = [_INCONCLUSIVE if row.exit_code == _UNUSABLE else row.exit_code for row in done.rows]
    return worst([*codes, WARNED if done.trend.warnings else 0])


def _tell(row: Row) -> None:
    click.echo(f"{row.checkpoint}: {row.verdict or row.reason}", err=True)
