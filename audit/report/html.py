"""The report for a browser: one file that opens offline and asks for nothing."""

from pathlib import Path

from audit.report.compose import page_of
from audit.report.templating import render
from audit.results import Audit


def render_html(audit: Audit, folder: Path) -> str:
    """The whole report as one HTML document; reads nothing but `audit` and the exhibits in `folder`.

    Pictures are inside the page, there is no script, and the page's own security policy forbids every request.
    """
    return render(page_of(audit, folder, medium="screen", created=audit.provenance.started))
