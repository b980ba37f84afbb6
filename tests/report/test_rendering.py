"""Both reports are written beside the audit."""

import pypdf
import pytest

from audit.report.html import render_html
from audit.report.rendering import render
from tests.report.example import healthy_audit, write_exhibits


def test_both_reports_are_written(tmp_path):
    """Setting the PDF beside the HTML changes neither; the PDF is dated with the audit's start."""
    audit = healthy_audit()
    write_exhibits(audit, tmp_path)
    paths = render(audit, tmp_path)

    assert [path.name for path in paths] == ["report.html", "report.pdf"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(audit, tmp_path)
    printed = pypdf.PdfReader(tmp_path / "report.pdf")
    assert printed.attachments["audit.json"] == [(tmp_path / "audit.json").read_bytes()]
    created = printed.metadata.creation_date
    assert created.isoformat() == "2026-11-22T07:30:00+00:00"


def test_a_report_that_cannot_be_written_leaves_the_one_that_was_there(tmp_path, monkeypatch):
    """A full disk tears no published report."""
    (tmp_path / "report.html").write_text("whole")

    def full(path, data):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        render(healthy_audit(), tmp_path, pdf=False)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "whole"


def test_the_pdf_can_be_left_out(tmp_path):
    """`--no-pdf` starts no child and writes one file."""
    render(healthy_audit(), tmp_path, pdf=False)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
