"""The block above the findings: what they are put down to."""

from dataclasses import replace

from audit.report.causes import causes
from audit.report.html import render_html
from audit.results.causes import Diagnosis
from tests.report.example import example_audit, write_exhibits


def test_a_group_is_told_with_its_reasoning_and_links(tmp_path):
    """The first four findings; those shown in full are linked."""
    audit = example_audit()
    known = audit.findings[0]
    said = Diagnosis(
        title="Tokens become alike with depth",
        cause="not decidable",
        findings=(known.id, "b", "c", "d", "e", "f"),
        reasoning=("One.", "Two."),
    )
    audit = replace(audit, diagnosis=(said,))
    (block,) = causes(audit, shown=[known])
    assert (block.cause, block.reasoning, block.more) == ("Not decidable", "One. Two.", "and 2 more")
    assert [bool(entry.target) for entry in block.findings] == [True, False, False, False]

    write_exhibits(audit, tmp_path)
    page = render_html(audit, tmp_path)
    assert page.index("What lies behind them") < page.index('class="finding ')
    assert "What lies behind them" not in render_html(replace(audit, diagnosis=()), tmp_path)
