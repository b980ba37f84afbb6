"""What changed since the baseline stands on the first page, and later drawings keep it."""

import numpy as np
import pypdf
import pytest

from audit import store
from audit.errors import NotComparable
from audit.report.redraw import redraw
from tests.compare.published import publish, samples
from tests.report.example import example_audit


@pytest.fixture
def moved(tmp_path):
    """Two audits: in the second one head spreads its attention more."""
    before, after = samples(2, 4), samples(2, 4)
    after["attention_entropy"] = after["attention_entropy"] + 0.2 * (np.arange(4) == 3)
    return publish(tmp_path / "before", before), publish(tmp_path / "after", after)


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
    """On its first page."""
    before, after = moved
    redraw(after, baseline=before)
    assert "What changed since the baseline" in pypdf.PdfReader(after / "report.pdf").pages[0].extract_text()


def test_a_stranger_is_no_baseline(tmp_path, moved):
    """And leaves the reports as they were."""
    plan = example_audit().plan | {"seed": 1}
    other = publish(tmp_path / "other", samples(2, 4), plan=plan)
    redraw(moved[1], pdf=False)
    text = (moved[1] / "report.html").read_bytes()
    with pytest.raises(NotComparable):
        redraw(moved[1], pdf=False, baseline=other)
    assert (moved[1] / "report.html").read_bytes() == text
