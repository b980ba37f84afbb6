"""Draws a published audit again, in place."""

from collections.abc import Sequence
from pathlib import Path

from audit import store
from audit.report.rendering import HTML, PDF, render


def redraw(folder: Path, *, pdf: bool = True) -> Sequence[Path]:
    """Paths of the reports drawn anew from `audit.json`; the manifest is renewed with them."""
    audit = store.read(folder)
    store.refuse_edited(folder, spare=(HTML, PDF))
    with store.faults_of_the_disk(folder):
        paths = render(audit, folder, pdf=pdf)
        store.write_manifest(folder)
    return paths
