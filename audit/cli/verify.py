"""`attnaudit verify`: attached JSON, digests and signature belong together, or not."""

from pathlib import Path

import click

from audit.report.verifying import verified

MISMATCH = 1


@click.command()
@click.argument("report", type=click.Path(path_type=Path), metavar="REPORT.pdf|AUDIT_DIR")
def verify(report: Path) -> int:
    """Check that a report, the JSON attached to it, the digests and any signature belong together.

    Exit codes: 0 they do, 1 they do not, 2 there is nothing to check.
    """
    said = verified(report)
    for each in said:
        click.echo(f"{'holds   ' if each.holds else 'MISMATCH'}  {' '.join(each.words.split())}")
    return 0 if all(each.holds for each in said) else MISMATCH
