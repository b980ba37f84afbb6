"""The first page answers: may I promote this checkpoint?"""

from dataclasses import replace

import pytest

from audit.report import summary as pages
from audit.results import Check
from audit.results.subject import Skipped
from tests.report.example import example_audit, healthy_audit


def summary(audit, medium="screen"):
    return pages.summary(audit, medium=medium)


@pytest.mark.parametrize(
    ("verdict", "severities", "headline"),
    [
        ("pass", (), "May be promoted: 5 of 6 checks on 5 of 6 attention layers found no fault."),
        (
            "pass",
            ("info", "info"),
            "May be promoted: 5 of 6 checks on 5 of 6 attention layers found no fault, with 2 remarks.",
        ),
        (
            "watch",
            ("watch", "info"),
            (
                "May be promoted, with 1 finding to watch (confirmed) and 1 remark, "
                "after 5 of 6 checks on 5 of 6 attention layers."
            ),
        ),
        ("fail", ("fail", "fail"), "Do not promote: 2 findings fail the policy (all confirmed)."),
        (
            "fail",
            ("fail", "watch"),
            "Do not promote: 1 finding fails the policy (confirmed), beside 1 finding to watch (confirmed).",
        ),
        ("inconclusive", (), "Do not promote on this audit: it lacks what the policy requires."),
        (
            "inconclusive",
            ("info",),
            "Do not promote on this audit: it lacks what the policy requires, and has 1 remark.",
        ),
    ],
)
def test_the_headline_is_verdict_certainty_and_remarks_in_a_sentence(verdict, severities, headline):
    """Its counts are those of the findings, so that it never says that nothing was found above a list of remarks."""
    audit = example_audit()
    findings = tuple(replace(f, severity=s) for f, s in zip(audit.findings, severities, strict=False))
    said = summary(replace(audit, verdict=verdict, findings=findings)).verdict

    assert headline == said.headline
    assert said.kind == verdict


def test_the_headline_tells_confirmed_from_not_confirmed_and_waived():
    """A waiver takes a finding out of the count and is counted itself."""
    audit = example_audit()
    first, second = audit.findings
    untried = replace(first, confirmation=replace(first.confirmation, status="not_attempted"))
    mixed = replace(audit, findings=(untried, second))
    assert "with 2 findings to watch (1 confirmed), after" in summary(mixed).verdict.headline
    waiver = {"rule": second.rule, "in_force": True}
    excused = replace(mixed, policy=replace(audit.policy, waivers=(waiver,)))
    assert "with 1 finding to watch (not confirmed) and 1 finding waived" in summary(excused).verdict.headline


def test_the_first_page_of_print_is_one_page():
    """What does not fit is counted, and said where it is."""
    audit = example_audit()
    many = tuple(Skipped(metric=f"m{n}", reason="no loss") for n in range(40))
    page = summary(replace(audit, coverage=replace(audit.coverage, skipped=many)), medium="print")
    assert len(page.unmeasured) == 6
    assert page.unmeasured_note == "and 38 more, see Rules and audit.json"


def test_what_was_not_measured_names_layers_metrics_checks_probes_and_remarks():
    """Each with its reason; layers that share one are folded."""
    audit = example_audit(layers=8)
    layers = tuple(
        replace(layer, observed=layer.index not in {2, 3, 4}, reason="linear attention")
        for layer in audit.coverage.layers
    )
    rows = summary(replace(audit, coverage=replace(audit.coverage, layers=layers))).unmeasured

    assert [row.label for row in rows] == [
        "Layers 2–4",
        "gradient_norm",
        "Dead heads",
        "Probe prose",
        "Checkpoint",
    ]
    assert rows[0].text == "Linear attention."


def test_a_whole_audit_says_that_nothing_is_missing():
    """No empty list."""
    page = summary(healthy_audit())
    assert page.unmeasured == ()
    assert page.passed_note == "6 of 6 checks passed"
    assert "All 2 attention layers observed, 4 heads." in page.certainty


def test_certainty_counts_intervals_and_confirmations():
    """Values without an interval and findings not put to the test are counted."""
    audit = example_audit(layers=2, heads=2)
    bare = {
        name: {probe: replace(m, low=None, high=None) for probe, m in probes.items()}
        for name, probes in audit.measurements.items()
    }
    first, second = audit.findings
    untried = replace(first, confirmation=replace(first.confirmation, status="not_attempted"))
    lines = " ".join(summary(replace(audit, measurements=bare, findings=(untried, second))).certainty)

    assert "0 of 74 values carry a 95% interval" in lines
    assert "2 findings: 1 confirmed or in no need of it, 1 not put to the test." in lines


def test_the_gravest_findings_come_first_and_the_rest_is_counted():
    """Three on the first page."""
    finding = example_audit().findings[0]
    severities = ("info", "watch", "fail", "watch", "info")
    audit = replace(example_audit(), findings=tuple(replace(finding, severity=s) for s in severities))
    page = summary(audit)

    assert [item.severity for item in page.highlights] == ["fail", "watch", "watch"]
    assert page.highlights_note == "and 2 more findings below"


def test_an_audit_without_checks_says_so():
    """Rather than praise nothing."""
    assert "No check was made." in summary(replace(healthy_audit(), checks=())).verdict.meaning
    odd = (Check(rule="new_rule", outcome="passed", reason="fine"),)
    assert summary(replace(healthy_audit(), checks=odd)).passed[0].label == "new_rule"
