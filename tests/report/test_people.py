"""The section on groups of people: what is said with and without a skew, on screen and in print."""

from dataclasses import replace

import pytest

from audit.report.people import people
from audit.results.demographics import Skew, SkewAxis, SkewedHead, SkewedOutput, SkewExample, SkewRemedy
from tests.report.example import example_audit


def head(**changes):
    fields = {
        "quantity": "received",
        "layer": 1,
        "head": 2,
        "level": 0.1,
        "difference": 0.02,
        "low": 0.01,
        "high": 0.03,
        "size": 1.2,
        "p": 1e-5,
        "q": 0.01,
        "reinitialised": 0.001,
        "carries": 0.4,
        "carries_low": 0.2,
        "carries_high": 0.6,
    }
    return SkewedHead(**fields | changes)


def remedy(**changes):
    fields = {
        "name": "silenced",
        "heads": 3,
        "skew": 0.8,
        "skew_low": 0.7,
        "skew_high": 0.9,
        "output": 0.5,
        "output_low": 0.4,
        "output_high": 0.6,
        "loss": 0.02,
        "loss_low": 0.01,
        "loss_high": 0.03,
    }
    return SkewRemedy(**fields | changes)


def axis(**changes):
    fields = {
        "name": "gender",
        "title": "Gender",
        "groups": ("women", "men"),
        "pairs": (("aunt", "uncle"),),
        "terms": 14,
        "templates": 24,
        "sentences": 196,
        "unknown": 0,
        "unmatched": 3,
        "imbalance": 0.1,
        "limits": "Two genders.",
        "control": False,
        "verdict": "skew found",
        "reason": "1 of 24 tests of heads stand out",
        "heads": (head(),),
        "found": 1,
        "by_layer": (0, 1, 0, 0, 0, 0),
        "smallest": 0.02,
        "output": SkewedOutput(
            measure="log probability of the attribute",
            p=0.002,
            difference=0.3,
            chance=0.1,
            leanings=({"attribute": "nurse", "toward": "women", "nats": 0.8},),
        ),
        "remedies": (remedy(),),
        "example": SkewExample(
            quantity="received",
            layer=1,
            head=2,
            terms=("aunt", "uncle"),
            words=("The", "", "'works'", "</script>"),
            attention=((0.1, None, 0.3, 0.2), (0.1, None, 0.1, None)),
        ),
    }
    return SkewAxis(**fields | changes)


def audit_with(*axes, **changes):
    fields = {
        "probe": "demographics",
        "quantities": {"received": "attention received"},
        "tests": 24,
        "level": 0.05,
    }
    return replace(example_audit(), skew=(Skew(**fields | changes, axes=axes),))


def test_a_skew_is_told_with_its_size_its_uncertainty_and_what_it_carries():
    """Head, interval, both groups, untrained model, share of the output, attributes, remedy."""
    block = people(audit_with(axis()), medium="screen")
    (shown,) = block.axes
    (row,) = shown.heads.rows
    assert row[0] == "attention received, head 2 of layer 1"
    assert "0.02 [0.01, 0.03]" in row
    assert row[-1] == "40% [20%, 60%]"
    assert shown.leanings.rows == (("nurse", "women", "0.8"),)
    assert shown.heads.head[2:4] == ("women", "men")
    assert row[2:4] == ("0.11", "0.09")
    assert shown.remedies.rows == (
        (
            "silenced: every token gets the head's mean output",
            "3",
            "80% [70%, 90%]",
            "50% [40%, 60%]",
            "0.02 [0.01, 0.03]",
        ),
    )
    assert block.overview.rows[0][3] == "Skew found"
    assert "neither is by itself a harm" in block.claims[2].text
    assert "one in twenty" in block.claims[1].text


def test_one_pair_is_shown_word_by_word():
    """A picture, the same in words, and the numbers; any word may stand in a sentence."""
    (shown,) = people(audit_with(axis()), medium="screen").axes
    assert "0.2 with 'aunt' and 0.1 with 'uncle'" in shown.example.alt
    assert shown.example.table.rows == (
        ("The", "0.1", "0.1"),
        ("'works'", "0.3", "0.1"),
        ("</script>", "0.2", "–"),
    )
    assert people(audit_with(axis()), medium="print").axes[0].example.table is None
    assert people(audit_with(axis(example=None)), medium="screen").axes[0].example is None


def test_columns_that_nothing_is_known_of_are_left_out():
    """Neither an untrained model nor a patched head."""
    bare = head(reinitialised=None, carries=None, carries_low=None, carries_high=None, size=None)
    (shown,) = people(audit_with(axis(heads=(bare,))), medium="screen").axes
    assert shown.heads.head == ("what differs", "difference", "women", "men", "effect size g", "q")
    assert shown.heads.rows[0][2:5] == ("–", "–", "–")


def test_print_tells_only_of_axes_where_something_stands_out():
    """A bounded digest; the overview has them all."""
    quiet = axis(
        name="age", title="Age", verdict="none found", found=0, heads=(head(q=0.6),), by_layer=(0,) * 6
    )
    printed = people(audit_with(axis(), quiet), medium="print")
    assert [shown.title for shown in printed.axes] == ["Gender"]
    assert [row[0] for row in printed.overview.rows] == ["Gender", "Age"]
    assert (
        people(audit_with(quiet), medium="screen").axes[0].heads_note.startswith("None of these stands out")
    )


def test_the_control_stands_in_the_overview_and_has_no_section():
    """It is there to be compared with."""
    block = people(audit_with(axis(), axis(name="control", title="Control", control=True)), medium="screen")
    assert [row[0] for row in block.overview.rows] == ["Gender", "Control"]
    assert [shown.title for shown in block.axes] == ["Gender"]


@pytest.mark.parametrize(
    ("audit", "note"),
    [
        (example_audit(), "Not looked at"),
        (
            audit_with(absent="the checkpoint has no tokenizer"),
            "Not measured: the checkpoint has no tokenizer.",
        ),
    ],
)
def test_absence_is_said_with_its_reason(audit, note):
    """Never an empty table."""
    block = people(audit, medium="screen")
    assert block.note.startswith(note)
    assert block.overview is None
    assert block.axes == ()


def test_the_finding_says_in_one_sentence_what_was_found():
    """Beside the count; an axis without one has the count alone."""
    audit = audit_with(axis(), axis(name="age", title="Age"))
    told = replace(
        audit.findings[0],
        topic="Gender",
        statement="Gender: words for 'women' receive more.",
        evidence=(replace(audit.findings[0].evidence[0], probe="demographics"),),
    )
    gender, age = people(replace(audit, findings=(told,)), medium="screen").axes
    assert gender.verdict.endswith(". Words for 'women' receive more.")
    assert "women" not in age.verdict
