"""Writes the reports of an audit beside it: `report.html` and `report.pdf`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from audit.report.html import render_html
from audit.report.pdf import attached_to, page_for_print, press
from audit.results import Audit

HTML = "report.html"
PDF = "report.pdf"


def render(audit: Audit, folder: Path, *, pdf: bool = True) -> Sequence[Path]:
    """Paths of the reports written into `folder`, which holds the audit's exhibits.

    The PDF is dated with the start of the audit, so that a report drawn again is the same to the byte.
    """
    if not pdf:
        return (_write(folder / HTML, render_html(audit, folder).encode()),)
    timestamp = int(datetime.fromisoformat(audit.provenance.started).timestamp())
    with press(timestamp=timestamp) as set_page, ThreadPoolExecutor(1) as aside:
        page = page_for_print(audit, folder, timestamp=timestamp)
        printed = aside.submit(
            set_page, page, attached_to(folder)
        )  # the child sets the PDF while this process draws the HTML
        html = render_html(audit, folder).encode()
        return (_write(folder / HTML, html), _write(folder / PDF, printed.result()))


def _write(path: Path, data: bytes) -> Path:
    """In one step: a disk that fills up leaves the report that was there."""
    fresh = path.with_name(f".{path.name}")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path
