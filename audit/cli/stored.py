"""`attnaudit list` and `show`: what a store holds."""

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table

from audit import store as stores
from audit.store import Entry

_store = click.option(
    "-o", "store", type=click.Path(path_type=Path), default="audits", show_default=True, help="The store."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


@click.command("list")
@_store
@_json
def list_audits(store: Path, *, as_json: bool) -> int:
    """List the audits of a store, newest first."""
    entries = stores.entries(store, damaged=lambda line: click.echo(f"attnaudit: left out: {line}", err=True))
    if as_json:
        rows = [_row(entry) for entry in entries]
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
        return 0
    names = ("audit", "verdict", "findings", "model", "depth", "started")
    table = Table(*(Column(name, overflow="fold") for name in names), box=None, pad_edge=False)
    for entry in entries:
        row = _row(entry)
        table.add_row(
            *(str(row[key]) for key in ("audit_id", "verdict", "findings", "model", "depth", "started"))
        )
    Console(soft_wrap=True).print(table if entries else f"no audits in {store}")
    return 0


@click.command()
@click.argument("audit_id")
@_store
@_json
def show(audit_id: str, store: Path, *, as_json: bool) -> int:
    """Show the audit whose id begins with AUDIT_ID."""
    entry = stores.find(store, audit_id)
    if as_json:
        click.echo((entry.folder / stores.AUDIT).read_text("utf-8"), nl=False)
        return 0
    audit = entry.audit
    click.echo(f"{audit.audit_id}  {audit.verdict}  {audit.subject.architecture}  {audit.provenance.started}")
    for finding in audit.findings:
        click.echo(f"  {finding.severity:5}  {finding.id:32}  {finding.statement}")
    for check in audit.checks:
        click.echo(f"  {check.outcome:14}  {check.rule:24}  {check.reason}")
    for path in sorted(entry.folder.glob("report.*")):
        click.echo(f"  {path}")
    return 0


def _row(entry: Entry) -> dict[str, object]:
    audit = entry.audit
    return {
        "audit_id": audit.audit_id,
        "verdict": audit.verdict,
        "findings": len(audit.findings),
        "model": audit.subject.architecture,
        "depth": audit.plan["depth"],
        "started": audit.provenance.started,
        "folder": str(entry.folder),
    }
