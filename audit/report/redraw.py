"""Draws a published audit again, in place."""

from collections.abc import Sequence
from pathlib import Path

from audit import store
from audit.report.rendering import render


def redraw(folder: Path, *, pdf: bool = True) -> Sequence[Path]:
    """Paths of the reports drawn anew from `audit.json`; the manifest is renewed with them."""
    audit = store.read(folder)
    with store.faults_of_the_disk(folder):
        paths = render(audit, folder, pdf=pdf)
        store.write_manifest(folder)
    return paths
