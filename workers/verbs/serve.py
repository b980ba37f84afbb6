"""`attnaudit serve`: the whole service on one machine."""

from pathlib import Path

import click

from audit.errors import UnusableInput
from workers.logs import configure
from workers.serve.service import Service
from workers.settings import from_environment
from workers.verbs.common import store_option


@click.command()
@store_option
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    help="Folder that holds the checkpoints; default: ATTNAUDIT_MODEL_ROOT or the current one.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Audits at a time.")
def serve(*, store: Path | None, models: Path | None, workers: int) -> int:
    """Run embedded Valkey, workers and the scheduler until Ctrl-C; started again, it goes on where it was."""
    settings = from_environment(store=store)
    root = models or settings.model_root or Path()
    if not root.is_dir():
        raise UnusableInput(f"--models {str(root)!r} is no folder")
    configure(settings)
    return Service(settings, root=root, workers=workers).run()
