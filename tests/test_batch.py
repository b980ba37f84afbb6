"""What a batch says: every checkpoint a row, the worst first, one exit code."""

import dataclasses

from audit.batch import Row, batch_of, row_of
from tests.report.example import example_audit

PASSED = Row(checkpoint="good", state="published", exit_code=0, verdict="pass", audit_id="1")
WATCHED = dataclasses.replace(PASSED, checkpoint="so-so", verdict="watch", watched=2)
FAILED = dataclasses.replace(PASSED, checkpoint="bad", verdict="fail", failing=1, exit_code=1)
WORSE = dataclasses.replace(FAILED, checkpoint="worse", failing=4)
UNSURE = dataclasses.replace(PASSED, checkpoint="unsure", verdict="inconclusive", exit_code=3)
REFUSED = Row(checkpoint="empty", state="failed", exit_code=2, reason="holds no checkpoint")
POISON = Row(checkpoint="poison", state="quarantined", exit_code=5, reason="attempt 1: killed by signal 9")
OURS = Row(checkpoint="ours", state="failed", exit_code=4, reason="a fault of ours")


def batch(*rows):
    return batch_of("b", rows, started="2026-05-04T12:00:00+00:00", seconds=1.0)


def test_the_worst_comes_first():
    """Faults, refusals, verdicts by their gravity, then by how much was found."""
    rows = [PASSED, REFUSED, WATCHED, FAILED, OURS, UNSURE, POISON, WORSE]
    assert batch(*rows).rows == (OURS, POISON, REFUSED, WORSE, FAILED, UNSURE, WATCHED, PASSED)


def test_the_exit_code_is_the_worst_and_a_refusal_leaves_the_batch_inconclusive():
    """4, 5, 1, 3, 0."""
    assert [batch(PASSED, row).exit_code for row in (OURS, POISON, FAILED, UNSURE, WATCHED)] == [
        4,
        5,
        1,
        3,
        0,
    ]
    assert batch(PASSED, REFUSED).exit_code == 3
    assert batch(FAILED, REFUSED).exit_code == 1


def test_the_same_outcomes_are_the_same_batch_whenever_they_came():
    """Time is outside the identity; what was found is inside."""
    later = batch_of("b", [PASSED, FAILED], started="2027-01-01T00:00:00+00:00", seconds=9.0)
    assert later.batch_id == batch(FAILED, PASSED).batch_id
    assert later.batch_id != batch(FAILED, WATCHED).batch_id


def test_an_audit_s_row_holds_what_matters():
    """Findings that are more than remarks, the gravest first; what was not measured, with its reason."""
    audit = example_audit()
    row = row_of("m", audit)
    grave = [finding for finding in audit.findings if finding.severity != "info"]
    assert row.failing + row.watched == len(grave)
    assert [remark.severity for remark in row.findings] == sorted(remark.severity for remark in row.findings)
    assert {remark.id for remark in row.findings} <= {finding.id for finding in grave}
    assert row.layers == len(audit.coverage.layers)
    assert len(row.unmeasured) >= len(audit.coverage.skipped)
