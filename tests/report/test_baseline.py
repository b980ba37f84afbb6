"""What changed since the baseline stands on the first page, and later drawings keep it."""

from dataclasses import replace

import numpy as np
import pypdf
import pytest

from audit import store
from audit.compare.comparing import compare
from audit.errors import NotComparable, UnusableInput
from audit.report.baseline import baseline
from audit.report.redraw import redraw
from tests.compare.published import publish, samples
from tests.report.example import example_audit


@pytest.fixture
def moved(tmp_path):
    """Two audits: in the second one head spreads its attention more."""
    before, after = samples(2, 4), samples(2, 4)
    after["attention_entropy"] = after["attention_entropy"] + 0.2 * (np.arange(4) == 3)
    return publish(tmp_path / "before", before), publish(tmp_path / "after", after, audit_id="0" * 64)


def test_the_first_page_says_what_changed(moved):
    """Verdicts, findings, and how many heads and layers; another drawing says the same."""
    before, after = moved
    redraw(after, pdf=False, baseline=before)
    text = (after / "report.html").read_text("utf-8")
    first = text.partition('<section id="findings"')[0]
    assert "What changed since the baseline" in first
    assert (
        "2 of 10 numbers of heads and layers changed beyond chance, most of them in Attention entropy (2"
        in first
    )
    store.refuse_edited(after, spare=())
    redraw(after, pdf=False)
    assert (after / "report.html").read_text("utf-8") == text


def test_it_is_in_the_pdf_too(moved):
    """In the summary, on its first page or right behind it."""
    before, after = moved
    redraw(after, baseline=before)
    pages = pypdf.PdfReader(after / "report.pdf").pages[:2]
    assert "What changed since the baseline" in "".join(page.extract_text() for page in pages)


def test_a_stranger_is_no_baseline(tmp_path, moved):
    """And leaves the reports as they were."""
    plan = example_audit().plan | {"seed": 1}
    other = publish(tmp_path / "other", samples(2, 4), plan=plan)
    redraw(moved[1], pdf=False)
    text = (moved[1] / "report.html").read_bytes()
    with pytest.raises(NotComparable):
        redraw(moved[1], pdf=False, baseline=other)
    assert (moved[1] / "report.html").read_bytes() == text


def test_what_only_one_side_looked_for_is_neither_new_nor_gone(tmp_path):
    """A shallower audit does not make findings disappear."""
    before = publish(tmp_path / "before", samples(6, 8))
    checks = tuple(replace(check, outcome="not_measured") for check in example_audit().checks)
    after = publish(tmp_path / "after", samples(6, 8), findings=(), checks=checks, audit_id="0" * 64)
    text = "\n".join(baseline(compare(before, after), medium="screen").lines)
    assert "2 findings cannot be compared: the rule was not measured after." in text
    assert "gone" not in text


def test_an_interrupted_drawing_leaves_what_was_there(moved, monkeypatch):
    """The comparison is kept once the pages are drawn, not before."""
    before, after = moved
    redraw(after, pdf=False, baseline=before)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("audit.report.redraw.render", interrupted)
        redraw(after, pdf=False, baseline=before)
    store.refuse_edited(after, spare=())
    redraw(after, pdf=False)


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_a_comparison_that_was_put_there_is_not_shown(moved):
    """Only what was published with this audit counts."""
    before, after = moved
    redraw(after, pdf=False, baseline=before)
    (before / "baseline.json").write_bytes((after / "baseline.json").read_bytes())
    redraw(before, pdf=False)
    assert "since the baseline" not in (before / "report.html").read_text("utf-8")
    redraw(before, pdf=False)  # now it is listed, and still another audit's
    assert "since the baseline" not in (before / "report.html").read_text("utf-8")


def test_an_audit_is_no_baseline_of_itself(moved):
    """It would always say that nothing changed."""
    with pytest.raises(NotComparable, match="no baseline of itself"):
        redraw(moved[0], pdf=False, baseline=moved[0])


def test_no_report_goes_on_to_say_something_else(moved):
    """A PDF that stands there is drawn too, or nothing is."""
    before, after = moved
    redraw(after)
    with pytest.raises(UnusableInput, match="leave out --no-pdf"):
        redraw(after, pdf=False, baseline=before)


def test_a_signature_is_not_dropped_silently(moved, monkeypatch):
    """Whoever signs again may draw again."""
    redraw(moved[1])
    monkeypatch.setattr("audit.report.redraw.is_signed", lambda _: True)
    with pytest.raises(UnusableInput, match="is signed, and drawing it again would drop that: add --sign"):
        redraw(moved[1], baseline=moved[0])
    redraw(moved[1], baseline=moved[0], signing=True)
