"""The PDF: tagged, archival, the same to the byte, bounded, and set without a look outside."""

import io
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pikepdf
import pypdf
import pytest

from audit.errors import InternalFault, MachineFault
from audit.report import pdf, templating
from audit.report.pdf import set_in_child
from audit.report.rendering import page_for_print, render_pdf
from tests.report.conftest import STARTED
from tests.report.example import example_audit, healthy_audit
from tests.report.large import cost_of_print, large_audit
from tests.report.test_html import hostile_audit


def opened(data):
    return pypdf.PdfReader(io.BytesIO(data), strict=True)


def structure(reader):
    """Every structure element of the tag tree."""
    waiting, found = [reader.trailer["/Root"]["/StructTreeRoot"]["/K"]], []
    while waiting:
        item = waiting.pop().get_object()
        if isinstance(item, list):
            waiting.extend(kid for kid in item if not isinstance(kid, int))
        elif "/S" in item:
            found.append(item)
            waiting.extend([item["/K"]] if "/K" in item and not isinstance(item["/K"], int) else [])
    return found


def test_it_is_tagged_titled_and_in_a_language(printed, drawn):
    """What a screen reader and an archive ask for first."""
    reader = opened(printed)
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata.title == "Attention audit of all-MiniLM-L6-v2: WATCH"
    assert drawn.audit.audit_id in reader.metadata.subject
    assert reader.metadata.creation_date.timestamp() == STARTED
    assert b"pdfaid:part" in root["/Metadata"].get_data()
    assert root["/OutputIntents"]


def test_every_picture_is_a_figure_with_words(printed):
    """And headings, tables and lists are what they look like."""
    found = structure(opened(printed))
    figures = [element for element in found if element["/S"] == "/Figure"]
    assert len(figures) > 20
    assert all(element["/Alt"] for element in figures)
    assert {"/H1", "/H2", "/H3", "/Table", "/TH", "/TD", "/L", "/P", "/Link"} <= {e["/S"] for e in found}


def test_the_first_page_answers_whether_to_promote(printed):
    """Verdict, findings, certainty, subject and gaps, on one page."""
    text = opened(printed).pages[0].extract_text()
    for words in (
        "May be promoted, with 2 findings to watch",
        "How sure",
        "What was not measured",
        "Subject",
    ):
        assert words in text


def test_pages_carry_the_model_the_verdict_and_their_number(printed):
    """A loose page can be put back."""
    reader = opened(printed)
    text = reader.pages[3].extract_text()
    assert "all-MiniLM-L6-v2" in text
    assert f"4 / {len(reader.pages)}" in text
    assert "Watch" in text


def test_the_contents_lead_to_pages(printed):
    """Links inside the file, and an outline beside it."""
    reader = opened(printed)
    assert any("/Annots" in page for page in reader.pages)
    titles = [item["/Title"] for item in reader.outline if not isinstance(item, list)]
    assert {"Findings", "Anatomy", "Method", "Rules and their outcomes", "Provenance", "Glossary"} <= set(
        titles
    )


def test_the_same_audit_gives_the_same_bytes(printed, drawn):
    """In another process, at another time."""
    assert render_pdf(drawn.audit, drawn.folder, timestamp=STARTED) == printed


def test_it_is_set_in_our_own_fonts(printed, drawn, tmp_path, monkeypatch):
    """A machine without any font gives the same bytes."""
    fonts = tmp_path / "fonts"
    shutil.copytree(templating.template_folder() / "fonts", fonts)
    rules = (fonts / "fonts.conf").read_text("utf-8")
    (fonts / "fonts.conf").write_text(re.sub(r"<dir>/.*</dir>", "", rules), "utf-8")
    seen = pdf._environment(STARTED) | {"FONTCONFIG_FILE": str(fonts / "fonts.conf")}
    monkeypatch.setattr(pdf, "_environment", lambda _: seen)
    assert render_pdf(drawn.audit, drawn.folder, timestamp=STARTED) == printed


def test_another_program_finds_it_sound(printed):
    """Every object, stream and reference, read by qpdf."""
    with pikepdf.open(io.BytesIO(printed)) as read:
        assert read.check_pdf_syntax() == []


def test_the_child_sees_none_of_the_callers_variables(monkeypatch):
    """So they cannot change a byte; the date it writes is the one given."""
    monkeypatch.setenv("FONTCONFIG_FILE", "/elsewhere")
    seen = pdf._environment(STARTED)
    assert seen["FONTCONFIG_FILE"].startswith(str(templating.template_folder()))
    assert seen["SOURCE_DATE_EPOCH"] == str(STARTED)
    assert seen["HOME"].startswith("/")


def test_a_page_that_reaches_outside_is_refused():
    """Neither the network nor the disk is read, and setting fails rather than leave a hole."""
    for address in ("https://example.invalid/x.png", "file:///etc/hostname"):
        with pytest.raises(InternalFault, match="could not be set"):
            set_in_child(f'<html lang="en"><title>x</title><img alt="x" src="{address}">', timestamp=0)


def test_limits_stop_the_child():
    """Memory and time are bounded, and the message names the limit."""
    page = '<html lang="en"><title>x</title><p>x'
    with pytest.raises(MachineFault, match="more than 16 MiB"):
        set_in_child(page, timestamp=0, memory=16 << 20)
    with pytest.raises(MachineFault, match=r"after 0\.01 seconds"):
        set_in_child(page, timestamp=0, patience=0.01)


@pytest.mark.parametrize("make", [healthy_audit, None], ids=["healthy", "hostile"])
def test_setting_is_silent(tmp_path, make):
    """The typesetter finds nothing to warn of: no dead link, no unknown style, no picture without words."""
    audit = make() if make else hostile_audit(tmp_path)
    page = page_for_print(audit, tmp_path, timestamp=STARTED)
    done = pressed(page)

    assert done.stderr == b""
    assert opened(done.stdout).pages


def pressed(page):
    """The child with all it says."""
    command = [sys.executable, "-m", "audit.report.press", str(1 << 30), "0"]
    given = pdf._packed(page, {})
    return subprocess.run(command, input=given, capture_output=True, check=True)


def test_the_silence_is_not_deafness():
    """A dead link is heard of."""
    done = pressed('<html lang="en"><title>x</title><a href="#nowhere">x</a>')
    assert b"No anchor #nowhere" in done.stderr


def test_many_findings_make_a_digest(tmp_path):
    """Hundreds of findings do not make hundreds of pages."""
    audit = example_audit(layers=2, heads=2)
    many = tuple(replace(audit.findings[0], id=f"entropy_collapse-{n}") for n in range(500))
    page = page_for_print(replace(audit, findings=many, exhibits=()), tmp_path, timestamp=STARTED)
    assert page.count('<article id="finding-') == 8
    assert "468 more findings in audit.json." in page


@pytest.mark.slow
def test_a_model_of_32_by_32_heads_fits_its_budget(tmp_path):
    """Fifteen seconds of one core, 400 MB and 25 pages, with all that an audit can hold; a fresh child tells its peak."""
    cost = cost_of_print(large_audit(tmp_path), tmp_path, timestamp=STARTED)
    assert cost.pages <= 25
    assert cost.mebibytes < 400
    assert cost.seconds < 15 * slowness()


def slowness():
    """How much slower this machine is than the one the budget was set on, at least 1."""
    start = time.process_time()
    sum(number * number for number in range(3_000_000))
    return max(1.0, (time.process_time() - start) / 0.2)
