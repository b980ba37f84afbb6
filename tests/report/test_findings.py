"""A finding in full: evidence beside null and threshold, and the reason for each missing interval."""

from dataclasses import replace

import pytest

from audit.report.findings import card, ranked
from tests.report.example import example_audit

AUDIT = example_audit()
FINDING = AUDIT.findings[0]
EVIDENCE = FINDING.evidence[0]


def shown(audit=AUDIT, **changes):
    return card(audit, replace(FINDING, evidence=(replace(EVIDENCE, **changes),))).evidence[0]


def test_evidence_stands_beside_its_null_and_threshold():
    """Value with interval, documents, null, and which side is the fault."""
    row = shown()
    assert (row.metric, row.value, row.n) == ("Attention entropy", "0.0312 [0.0281, 0.0347]", "32")
    assert (row.null, row.threshold, row.note) == ("0.998", "below 0.1", "")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"n": 0, "metric": "share of unobserved layers", "probe": None}, "counted, not sampled"),
        ({"n": 32, "metric": "share of unobserved layers"}, "no interval was computed"),
        ({"n": 8}, "no interval: 8 documents are too few (16 are needed)"),
    ],
)
def test_a_missing_interval_has_its_reason(changes, note):
    """Never an empty bracket, never silence."""
    measurement = replace(
        AUDIT.measurements["attention_entropy"]["prose"],
        absent="no interval: 8 documents are too few (16 are needed)",
    )
    audit = replace(AUDIT, measurements={"attention_entropy": {"prose": measurement}})
    assert note == shown(audit, low=None, high=None, **changes).note


def test_absent_numbers_are_words():
    """No dash stands for a value that could not be had."""
    row = shown(value=None, null=None, threshold=None)
    assert (row.value, row.null, row.threshold) == ("not measured", "none", "none")
    assert shown(direction=None).threshold == "0.1"


def test_every_finding_has_the_same_parts_in_the_same_order():
    """A reviewer knows where to look."""
    labels = ["Confirmation", "Cause", "Mitigation", "Remedy", "Limits"]
    for finding in AUDIT.findings:
        assert [row.label for row in card(AUDIT, finding).facts] == labels
    assert card(AUDIT, FINDING).facts[3].text == "No remedy was tried on this checkpoint."


def test_the_gravest_come_first():
    """Fail before watch before info; otherwise as the audit has them."""
    given = [replace(FINDING, id=str(n), severity=s) for n, s in enumerate(("info", "fail", "watch", "fail"))]
    assert [finding.id for finding in ranked(replace(AUDIT, findings=tuple(given)))] == ["1", "3", "2", "0"]


def test_a_rule_without_a_record_is_called_by_its_name():
    """An audit of an older engine is still readable."""
    assert card(replace(AUDIT, rules={}), FINDING).rule == "entropy_collapse"
