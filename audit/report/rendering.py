"""Writes the reports of an audit beside it: `report.html` and `report.pdf`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from audit import store
from audit.compare.records import Comparison
from audit.report import templating
from audit.report.compose import page_of
from audit.report.html import render_html
from audit.report.pdf import press
from audit.results import Audit

HTML = "report.html"
PDF = "report.pdf"


def render(
    audit: Audit, folder: Path, *, pdf: bool = True, since: Comparison | None = None
) -> Sequence[Path]:
    """Paths of the reports written into `folder`, which holds the audit's exhibits.

    The PDF is dated with the start of the audit, so that a report drawn again is the same to the byte. `since` is
    what changed since a baseline, for the first page.
    """
    if not pdf:
        return (_write(folder / HTML, render_html(audit, folder, since=since).encode()),)
    timestamp = int(datetime.fromisoformat(audit.provenance.started).timestamp())
    with press(timestamp=timestamp) as set_page, ThreadPoolExecutor(1) as aside:
        page = page_for_print(audit, folder, timestamp=timestamp, since=since)
        printed = aside.submit(
            set_page, page, attached_to(folder)
        )  # the child sets the PDF while this process draws the HTML
        html = render_html(audit, folder, since=since).encode()
        return (_write(folder / HTML, html), _write(folder / PDF, printed.result()))


def render_pdf(audit: Audit, folder: Path, *, timestamp: int) -> bytes:
    """The report as PDF/A-3a with `audit.json` attached, the same bytes for the same input and `timestamp` (seconds since 1970, UTC).

    It is a bounded digest: grids of the first probe, the first findings in full. Raises MachineFault when the child
    runs out of memory or time, InternalFault when the page cannot be set.
    """
    with press(timestamp=timestamp) as set_page:
        return set_page(page_for_print(audit, folder, timestamp=timestamp), attached_to(folder))


def attached_to(folder: Path) -> dict[str, bytes]:
    """What the PDF of the audit in `folder` carries: the audit itself, to the byte."""
    return {store.AUDIT: (folder / store.AUDIT).read_bytes()}


def page_for_print(audit: Audit, folder: Path, *, timestamp: int, since: Comparison | None = None) -> str:
    """The HTML that becomes the PDF."""
    created = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return templating.render(page_of(audit, folder, medium="print", created=created, since=since))


def _write(path: Path, data: bytes) -> Path:
    """In one step: a disk that fills up leaves the report that was there."""
    fresh = path.with_name(f".{path.name}")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path
