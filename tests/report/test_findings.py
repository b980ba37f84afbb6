"""A finding in full: evidence beside null and threshold, and the reason for each missing interval."""

from dataclasses import replace

import pytest

from audit.report.findings import card, cards, ranked
from audit.results import Ablation
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


def test_print_says_what_a_rule_has_in_common_once():
    """Limits and references at its first finding; of much evidence the first rows, and how many more there are."""
    long = replace(FINDING, evidence=(EVIDENCE,) * 8, references=("a paper",))
    first, again = cards(AUDIT, (long, replace(long, id="another")), medium="print")
    assert [row.label for row in again.facts] == [row.label for row in first.facts][:-1]
    assert (first.references, again.references) == (("a paper",), ())
    assert (len(first.evidence), first.evidence_note) == (5, "3 more rows in the HTML report.")
    whole = cards(AUDIT, (long, replace(long, id="another")), medium="screen")[1]
    assert (len(whole.evidence), whole.evidence_note, whole.references) == (8, "", ("a paper",))
    assert whole.facts == first.facts


def test_absent_numbers_are_words():
    """No dash stands for a value that could not be had."""
    row = shown(value=None, null=None, threshold=None)
    assert (row.value, row.null, row.threshold) == ("not measured", "none", "none")
    assert shown(direction=None).threshold == "0.1"


def test_every_finding_has_the_same_parts_in_the_same_order():
    """A reviewer knows where to look."""
    labels = ["Confirmation", "Cause", "Impact", "Remedy", "Limits"]
    for finding in AUDIT.findings:
        assert [row.label for row in card(AUDIT, finding).facts] == labels
    assert card(AUDIT, FINDING).facts[3].text.startswith("Advised, not tried here: In training: a lower")
    tried = card(AUDIT, replace(FINDING, remedy="scores halved: nothing changed")).facts[3].text
    assert tried.startswith("Tried: Scores halved: nothing changed. Advised: In training")


def test_impact_is_what_taking_it_out_costs_and_what_it_means_for_promotion():
    """Measured, or said not to be; waived where a waiver is in force."""
    said = replace(FINDING.confirmation, details={"effect": 0.21, "low": 0.2, "high": 0.22})
    ablation = Ablation(
        measure="loss", unit="nats", level=3.0, margin=0.05, documents=32, left_out=(), together=None,
        rounding=None, passes=4.0,
    )  # fmt: skip
    audit, finding = replace(AUDIT, ablation=ablation), replace(FINDING, confirmation=said)
    assert impact(audit, finding) == (
        "Taking it out moves the loss by 0.21 [0.2, 0.22] nats; below 0.05 it is harmless. "
        "It does not forbid promotion; someone should keep an eye on it."
    )
    assert impact(AUDIT, FINDING).startswith("What it costs the model was not measured. ")
    waiver = {"rule": FINDING.rule, "in_force": True}
    excused = replace(AUDIT, policy=replace(AUDIT.policy, waivers=(waiver,)))
    assert impact(excused, FINDING).endswith("A waiver in force excuses it.")


def impact(audit, finding):
    return next(row.text for row in card(audit, finding).facts if row.label == "Impact")


def test_a_finding_has_a_name_for_people():
    """The rule's title and the place; where there is no place, what else its id tells."""
    assert card(AUDIT, FINDING).label == "Entropy collapse, layer 3, head 7"
    whole = replace(FINDING, layer=None, head=None, id="entropy_collapse-demographics-age")
    assert card(AUDIT, whole).label == "Entropy collapse: age"
    assert card(AUDIT, replace(whole, id="entropy_collapse")).label == "Entropy collapse"


def test_the_gravest_come_first():
    """Fail before watch before info; otherwise as the audit has them."""
    given = [replace(FINDING, id=str(n), severity=s) for n, s in enumerate(("info", "fail", "watch", "fail"))]
    assert [finding.id for finding in ranked(replace(AUDIT, findings=tuple(given)))] == ["1", "3", "2", "0"]


def test_a_rule_without_a_record_is_called_by_its_name():
    """An audit of an older engine is still readable."""
    assert card(replace(AUDIT, rules={}), FINDING).label == "entropy_collapse, layer 3, head 7"
