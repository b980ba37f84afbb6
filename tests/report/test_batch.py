"""The batch report: every row is there with its reason, and publishing twice changes nothing."""

import dataclasses
from dataclasses import fields, is_dataclass

import msgspec
import pytest
from jinja2 import meta, nodes

from audit import store as stores
from audit.batch import Batch, row_of
from audit.report import batch as reports
from audit.report import batch_page, templating
from tests.browser import written
from tests.report.example import example_audit
from tests.test_batch import FAILED, OURS, PASSED, POISON, REFUSED, UNSURE, batch


@pytest.fixture
def mixed():
    """One of each kind, and a real audit's row."""
    return batch(PASSED, FAILED, REFUSED, POISON, OURS, UNSURE, row_of("models/example", example_audit()))


@pytest.mark.parametrize("medium", ["screen", "print"])
def test_every_checkpoint_is_there_with_its_reason(mixed, medium):
    """Also those that could not be audited."""
    html = reports.drawn(mixed, medium)
    for row in mixed.rows:
        assert row.checkpoint.rpartition("/")[2] in html
        assert row.reason is None or row.reason in html.lower() or row.reason.capitalize() in html
    places = [html.index(f">{word}</span>") for word in ("failed", "quarantined", "refused", "inconclusive")]
    assert places == sorted(places)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, mixed, tmp_path, scheme):
    """No violation of any rule of axe-core, and nothing wider than a telephone."""
    page = written(reports.drawn(mixed, "screen"), tmp_path)
    assert browser.violations(page, scheme) == []
    _, lines, found = browser.open(page, viewport={"width": 360, "height": 800}, color_scheme=scheme)
    assert lines == []
    assert found["width"] <= 0


def test_links_lead_to_the_reports_of_the_same_store(mixed):
    """On the screen; on paper the audit's id stands instead."""
    audit = example_audit().audit_id
    assert f'href="../../{audit}/report.html"' in reports.drawn(mixed, "screen")
    assert "href" not in reports.drawn(mixed, "print").partition("</style>")[2]
    assert audit in reports.drawn(mixed, "print")


def test_publishing_again_changes_nothing(mixed, tmp_path):
    """Whoever comes second finds it there; the record is read back as it was written."""
    folder = reports.publish_batch(mixed, tmp_path, pdf=False)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = dataclasses.replace(mixed, started="2027-01-01T00:00:00+00:00")
    assert reports.publish_batch(again, tmp_path, pdf=False) == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert set(before) == {"batch.json", "report.html", "manifest.json"}
    assert msgspec.json.decode((folder / "batch.json").read_bytes(), type=Batch) == mixed
    assert not list(stores.attempts(tmp_path / "batches"))
    assert stores.entries(tmp_path) == ()


def test_a_pdf_that_is_missing_is_added(mixed, tmp_path):
    """As with an audit's own reports."""
    reports.publish_batch(mixed, tmp_path, pdf=False)
    folder = reports.publish_batch(mixed, tmp_path)
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert {path.name for path in folder.iterdir()} == {
        "batch.json",
        "report.html",
        "report.pdf",
        "manifest.json",
    }


def test_the_printed_report_is_bounded():
    """What is left out is counted."""
    many = batch(*(dataclasses.replace(PASSED, checkpoint=f"m{number}") for number in range(300)))
    page = reports.page_of(many, medium="print")
    assert len(page.subjects) == 250
    assert page.subjects_note == "50 more checkpoints in batch.json."
    assert len(reports.page_of(many, medium="screen").subjects) == 300


def test_the_template_uses_every_field_and_no_other():
    """The page's records are the contract of the template."""
    environment = templating.environment()
    parsed = [
        environment.parse((templating.template_folder() / name).read_text("utf-8"))
        for name in ("batch.html", "base.html", "parts/masthead.html")
    ]
    used = set().union(*map(meta.find_undeclared_variables, parsed))
    assert used - {"heading", "edition"} == {field.name for field in fields(batch_page.BatchPage)}
    read = {node.attr for page in parsed for node in page.find_all(nodes.Getattr)}
    records = [
        value
        for value in vars(batch_page).values()
        if is_dataclass(value)
        and value is not batch_page.BatchPage
        and value.__module__ == batch_page.__name__
    ]
    assert {field.name for record in records for field in fields(record)} <= read
