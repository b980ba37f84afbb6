"""`attnaudit run`: one audit in this process."""

import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from audit import store as stores
from audit.auditor import audit_checkpoint
from audit.cli import signing
from audit.cli.bars import progress_on
from audit.cli.explaining import explained
from audit.cli.options import baseline_option, plan_options, shards_option
from audit.compare.comparing import entry_at
from audit.errors import NotComparable, UnusableInput
from audit.outcomes import VERDICT_CODES
from audit.report.redraw import redraw
from audit.results import Audit, Plan

SHOWN = 10  # findings on the terminal; the report has all


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o", "store", type=click.Path(path_type=Path), default="audits", show_default=True, help="The store."
)
@plan_options
@click.option("--adapter", type=click.Path(path_type=Path), help="A LoRA adapter folder, merged in memory.")
@click.option("--policy", metavar="FILE", help="A policy in TOML, or the name of a shipped one.")
@click.option("--no-pdf", is_flag=True, help="Write the HTML report only.")
@baseline_option
@signing.option
@signing.passphrase_file
@shards_option
@click.option("--force", is_flag=True, help="Measure again although this audit exists.")
@click.option("--json", "as_json", is_flag=True, help="Print audit.json and nothing else.")
@click.option("--explain", is_flag=True, help="Print passes, time and memory that it will take, and stop.")
def run(
    checkpoint: Path,
    *,
    store: Path,
    policy: str | None,
    adapter: Path | None,
    no_pdf: bool,
    baseline: Path | None,
    shards: int,
    force: bool,
    as_json: bool,
    explain: bool,
    key: Path | None,
    passphrase_file: Path | None,
    **options: Any,
) -> int:
    """Audit CHECKPOINT: a model folder, a hub-cache snapshot or a GGUF file.

    Exit codes: 0 pass or watch, 1 fail, 2 refused or unusable input, 3 inconclusive, 4 a fault of ours, 5 a fault of
    the machine, 130 interrupted.
    """
    signal.signal(signal.SIGTERM, interrupt)
    if shards > 1:
        raise UnusableInput(
            f"--shards {shards} needs workers: use `attnaudit submit`, with `attnaudit serve` running"
        )
    sign = signing.ready(key, passphrase_file, pdf=not no_pdf)
    plan = Plan(**options)
    if explain:
        pdf = not no_pdf
        click.echo(explained(checkpoint, plan, policy=policy, adapter=adapter, pdf=pdf, as_json=as_json))
        return 0
    if baseline:
        entry_at(baseline)  # refused before any work
    with progress_on(sys.stderr) as progress:
        audit = audit_checkpoint(
            checkpoint,
            plan,
            policy=policy,
            adapter=adapter,
            store=store,
            pdf=not (no_pdf or baseline),  # it would be drawn twice
            force=force,
            progress=progress,
            command=shlex.join(["attnaudit", *sys.argv[1:]]),
        )
    folder = store / audit.audit_id
    if baseline:
        try:
            redraw(folder, pdf=not no_pdf, baseline=baseline, signing=bool(sign))
        except NotComparable as error:
            redraw(folder, pdf=not no_pdf, signing=bool(sign))
            click.echo(f"the report says nothing of the baseline: {error}", err=True)
    if sign:
        sign(folder)
    if as_json:
        click.echo((folder / stores.AUDIT).read_text("utf-8"), nl=False)
    else:
        click.echo(_summary(audit, folder))
    return VERDICT_CODES[audit.verdict]


def interrupt(*_: object) -> None:
    """A terminated audit cleans up like an interrupted one."""
    raise KeyboardInterrupt


def _summary(audit: Audit, folder: Path) -> str:
    observed = sum(layer.observed for layer in audit.coverage.layers)
    seen = f"{observed} of {len(audit.coverage.layers)} attention layers observed"
    lines = [
        f"verdict  {audit.verdict}   ({seen}, {len(audit.findings)} findings)",
        *(f"  {finding.severity:5}  {finding.statement}" for finding in audit.findings[:SHOWN]),
    ]
    if len(audit.findings) > SHOWN:
        lines.append(f"  ... and {len(audit.findings) - SHOWN} more in the report")
    lines += [f"not met  {demand}" for demand in audit.policy.unmet]
    lines += [
        f"expired  the waiver of {waiver['rule']} by {waiver['owner']} ended on {waiver['expires']} and counts as none"
        for waiver in audit.policy.waivers
        if not waiver["in_force"]
    ]
    unmeasured = [check.rule for check in audit.checks if check.outcome == "not_measured"]
    if unmeasured:
        lines.append(f"not measured: {', '.join(unmeasured)}")
    reports = [folder / name for name in ("report.html", "report.pdf") if (folder / name).exists()]
    return "\n".join([*lines, *(f"report   {path}" for path in reports)])
