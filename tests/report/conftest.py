"""One example audit, drawn once: most tests only look at it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from audit.report.html import render_html
from audit.report.rendering import render_pdf
from audit.results import Audit
from tests.report.example import example_audit, write_exhibits

STARTED = 1795332600  # the example's start, in seconds since 1970


class Drawn(NamedTuple):
    """An audit, its folder and its page."""

    audit: Audit
    folder: Path
    html: str


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The example as HTML."""
    audit, folder = example_audit(), tmp_path_factory.mktemp("audit")
    write_exhibits(audit, folder)
    return Drawn(audit, folder, render_html(audit, folder))


@pytest.fixture(scope="session")
def printed(drawn: Drawn) -> bytes:
    """The example as PDF."""
    return render_pdf(drawn.audit, drawn.folder, timestamp=STARTED)
