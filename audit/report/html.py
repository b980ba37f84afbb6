"""The report for a browser: one file that opens offline and asks for nothing."""

from pathlib import Path

from audit.compare.records import Comparison
from audit.report.compose import page_of
from audit.report.templating import render
from audit.results import Audit


def render_html(audit: Audit, folder: Path, *, since: Comparison | None = None) -> str:
    """The whole report as one HTML document; reads nothing but `audit` and the exhibits in `folder`.

    Pictures are inside the page, and the page's own security policy forbids every request. `since` is what changed since a baseline.
    """
    return render(page_of(audit, folder, medium="screen", created=audit.provenance.started, since=since))
