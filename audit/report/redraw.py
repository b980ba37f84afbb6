"""Draws a published audit again, in place."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from audit import store
from audit.compare.comparing import compare
from audit.errors import NotComparable, UnusableInput
from audit.report.baseline import BASELINE, kept
from audit.report.rendering import HTML, PDF, render
from audit.report.verifying import is_signed


def redraw(
    folder: Path, *, pdf: bool = True, baseline: Path | None = None, signing: bool = False
) -> Sequence[Path]:
    """Paths of the reports drawn anew from `audit.json`; the manifest is renewed with them.

    With `baseline`, the folder of another audit, the first page says what changed since; the comparison is kept, so
    that later drawings say it too. A signed PDF is drawn again only by who goes on `signing` it. Raises NotComparable
    where a comparison means nothing, UnusableInput for a PDF that may not be touched or would say something else.
    """
    audit = store.read(folder)
    store.refuse_edited(folder, spare=(HTML, PDF, BASELINE) if baseline else (HTML, PDF))
    printed = folder / PDF
    if pdf and not signing and printed.is_file() and is_signed(printed):
        raise UnusableInput(f"{str(printed)!r} is signed, and drawing it again would drop that: add --sign")
    if baseline and not pdf and printed.is_file():
        raise UnusableInput(
            f"{str(printed)!r} would go on to say nothing of the baseline: leave out --no-pdf"
        )
    if baseline and store.read(baseline).audit_id == audit.audit_id:
        raise NotComparable("not comparable: an audit is no baseline of itself")
    since = compare(baseline, folder) if baseline else kept(folder, audit.audit_id)
    with store.faults_of_the_disk(folder):
        paths = render(audit, folder, pdf=pdf, since=since)
        if baseline:
            fresh = folder / f".{BASELINE}"
            fresh.write_bytes(msgspec.json.encode(since))
            fresh.replace(folder / BASELINE)
        store.write_manifest(folder)
    return paths
