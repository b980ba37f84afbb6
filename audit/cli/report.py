"""`attnaudit report`: JSON is the truth, a report only draws it."""

from pathlib import Path

import click

from audit import store as stores
from audit.cli import signing
from audit.cli.options import baseline_option
from audit.report.redraw import redraw
from audit.report.shelving import rebuild


@click.command()
@click.argument("audit_dir", type=click.Path(path_type=Path))
@click.option("--no-pdf", is_flag=True, help="Write the HTML report only.")
@baseline_option
@signing.option
@signing.passphrase_file
def report(
    audit_dir: Path, *, no_pdf: bool, baseline: Path | None, key: Path | None, passphrase_file: Path | None
) -> int:
    """Draw the reports of the audit in AUDIT_DIR again; of a store, the list of all that stands in it."""
    if not (audit_dir / stores.MANIFEST).is_file() and stores.published(audit_dir):
        with stores.faults_of_the_disk(audit_dir):
            click.echo(rebuild(audit_dir, everything=True))
        return 0
    sign = signing.ready(key, passphrase_file, pdf=not no_pdf)
    paths = redraw(audit_dir, pdf=not no_pdf, baseline=baseline, signing=bool(sign))
    if sign:
        sign(audit_dir)
    for path in paths:
        click.echo(path)
    return 0
