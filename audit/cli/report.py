"""`attnaudit report`: JSON is the truth, a report only draws it."""

from pathlib import Path

import click

from audit.report.redraw import redraw


@click.command()
@click.argument("audit_dir", type=click.Path(path_type=Path))
@click.option("--no-pdf", is_flag=True, help="Write the HTML report only.")
def report(audit_dir: Path, *, no_pdf: bool) -> int:
    """Draw the reports of the audit in AUDIT_DIR again."""
    for path in redraw(audit_dir, pdf=not no_pdf):
        click.echo(path)
    return 0
