"""`attnaudit export`: an audit in the forms that other programs read."""

from pathlib import Path
from typing import Final

import click

from audit import store as stores
from audit.errors import UnusableInput
from audit.export import mlflow
from audit.export.forms import BINARY, FORMS

_MLFLOW: Final = "mlflow"


@click.command()
@click.argument("audit_dir", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice([*FORMS, _MLFLOW]), required=True)
@click.option(
    "-o", "output", type=click.Path(path_type=Path), metavar="FILE", help="Default: standard output."
)
@click.option(
    "--tracking-uri", metavar="URI", help="With mlflow: the server or store, and all that is spoken to."
)
@click.option("--experiment", default="attention-audit", show_default=True, help="With mlflow.")
def export(
    audit_dir: Path, *, form: str, output: Path | None, tracking_uri: str | None, experiment: str
) -> int:
    """Write the audit in AUDIT_DIR as SARIF, JUnit XML, Markdown, a model card's section, CSV or Parquet; log it to MLflow."""
    audit = stores.read(audit_dir)
    if form == _MLFLOW:
        if not tracking_uri:
            raise UnusableInput("--format mlflow needs --tracking-uri: nothing is sent anywhere by itself")
        click.echo(mlflow.log(audit, audit_dir, tracking_uri, experiment=experiment))
        return 0
    made = FORMS[form](audit)
    if output:
        with stores.faults_of_the_disk(output):
            output.write_bytes(made)
        click.echo(output)
    elif form in BINARY:
        raise UnusableInput(f"--format {form} needs -o FILE")
    else:
        click.echo(made, nl=False)
    return 0
