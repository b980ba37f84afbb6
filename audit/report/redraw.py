"""Draws a published audit again, in place."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from audit import store
from audit.compare.comparing import compare
from audit.report.baseline import BASELINE
from audit.report.rendering import HTML, PDF, render


def redraw(folder: Path, *, pdf: bool = True, baseline: Path | None = None) -> Sequence[Path]:
    """Paths of the reports drawn anew from `audit.json`; the manifest is renewed with them.

    With `baseline`, the folder of another audit, the first page says what changed since; the comparison is kept, so
    that later drawings say it too. Raises NotComparable where that means nothing.
    """
    audit = store.read(folder)
    store.refuse_edited(folder, spare=(HTML, PDF))
    since = msgspec.json.encode(compare(baseline, folder)) if baseline else None
    with store.faults_of_the_disk(folder):
        if since:
            fresh = folder / f".{BASELINE}"
            fresh.write_bytes(since)
            fresh.replace(folder / BASELINE)
        paths = render(audit, folder, pdf=pdf)
        store.write_manifest(folder)
    return paths
