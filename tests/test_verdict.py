"""From findings to a verdict: waivers, what a policy demands, and real audits judged under several policies."""

import datetime as dt
from typing import Any

import pytest

from audit import Plan, audit_checkpoint, policy
from audit.results import Check, Confirmation, Finding, PolicyRecord
from audit.verdict import unmet, verdict, waived
from tests.report.example import example_audit

QUICK = Plan(depth="quick", samples=8, max_length=32, confirm=False)
# Heads that write less than twice the mean head are all heads: a finding that needs no ablation.
ALL_DEAD = 'inherits = "training-run"\n[thresholds.dead_head]\noutput = 2.0\n'


def finding(rule="dead_head", severity="fail", place="-l001-h002") -> Finding:
    return Finding(
        id=rule + place,
        rule=rule,
        severity=severity,
        layer=1,
        head=2,
        cause="",
        statement="",
        evidence=(),
        confirmation=Confirmation(status="confirmed", reason=""),
        mitigation="",
        remedy=None,
        references=(),
        limits="",
        reproduce="",
    )


def record(*waivers: dict[str, Any], missing: tuple[str, ...] = ()) -> PolicyRecord:
    return PolicyRecord(name="ours", digest="0", waivers=waivers, unmet=missing)


WAIVER = {"rule": "dead_head", "owner": "me", "reason": "known", "in_force": True}


@pytest.mark.parametrize(
    ("waiver", "expected"),
    [
        (WAIVER, "pass"),
        (WAIVER | {"in_force": False}, "fail"),
        (WAIVER | {"where": "dead_head-l001-h002"}, "pass"),
        (WAIVER | {"where": "dead_head-l001-h003"}, "fail"),
        (WAIVER | {"rule": "uniform_head"}, "fail"),
    ],
)
def test_a_waiver_covers_what_it_names_while_it_holds(waiver, expected):
    """A waived finding does not fail the checkpoint; an expired waiver counts as none."""
    assert verdict([finding()], record(waiver)) == expected
    assert waived(finding(), record(waiver)) == (expected == "pass")


@pytest.mark.parametrize(
    ("day", "holds"), [("2026-12-30", True), ("2026-12-31", True), ("2027-01-01", False)]
)
def test_a_waiver_holds_until_the_end_of_its_day(tmp_path, day, holds):
    """The last day counts."""
    path = tmp_path / "ours.toml"
    path.write_text('[[waivers]]\nrule = "dead_head"\nowner = "a"\nreason = "b"\nexpires = 2026-12-31\n')
    (found,) = policy.load(path).record(dt.date.fromisoformat(day)).waivers
    assert found["in_force"] == holds


def test_the_verdict_is_the_worst_that_counts():
    """Fail > inconclusive (a demand is not met) > watch > pass."""
    lacking = record(missing=("probe code is required and was not fed",))
    assert verdict([finding()], lacking) == "fail"
    assert verdict([finding(severity="watch")], lacking) == "inconclusive"
    assert verdict([finding(severity="watch")], record()) == "watch"
    assert verdict([finding(severity="info")], record()) == "pass"


def test_what_is_demanded_and_missing_is_said(tmp_path):
    """A rule, a probe, texts, layers: one sentence each; what is there is not mentioned."""
    path = tmp_path / "ours.toml"
    path.write_text(
        'required = ["dead_head", "uniform_head"]\n[coverage]\nprobes = ["prose", "code"]\n'
        "documents = 500\nlayers = 1.0\n"
    )
    checks = [
        Check(rule="dead_head", outcome="not_measured", reason="no head_output_norm"),
        Check(rule="uniform_head", outcome="passed", reason=""),
        Check(rule="static_head", outcome="not_measured", reason="not required"),
    ]
    audit = example_audit()
    assert list(unmet(policy.load(path), checks, audit.coverage)) == [
        "rule dead_head is required and could not be judged: no head_output_norm",
        f"probe prose was fed with {audit.coverage.probes[0].documents} documents: 500 are required",
        "probe code is required and was not fed",
        "5 of 6 attention layers were observed: 100% are required",
    ]
    assert not list(unmet(policy.load(), checks, audit.coverage))


@pytest.fixture(scope="module")
def store(bert_tiny, tmp_path_factory):
    """A store with one audit, so that every other policy only judges."""
    folder = tmp_path_factory.mktemp("store")
    assert audit_checkpoint(bert_tiny, QUICK, store=folder, pdf=False).verdict == "pass"
    return folder


def judged(store, checkpoint, text):
    path = store.parent / "ours.toml"
    path.write_text(text)
    return audit_checkpoint(checkpoint, QUICK, store=store, pdf=False, policy=path)


def test_a_strict_policy_is_inconclusive_on_a_quick_audit(store, bert_tiny, attnaudit):
    """Exit code 3, and what is missing stands on the terminal, in the audit and on the page."""
    options = ("--depth", "quick", "--samples", 8, "--max-length", 32, "--no-confirm", "--no-pdf")
    ran = attnaudit("run", bert_tiny, "-o", store, *options, "--policy", "strict")
    assert ran.code == 3
    for said in ("probe code is required and was not fed", "prose was fed with 8 documents: 32 are required"):
        assert f"not met  probe {said.removeprefix('probe ')}" in ran.out
    assert "rule dormant_head is required and could not be judged" in ran.out


def test_a_real_failure_is_waived_until_the_waiver_expires(store, bert_tiny):
    """The same measurements: fail, pass under a waiver, fail again when it has expired, which the page says."""
    failed = judged(store, bert_tiny, ALL_DEAD)
    assert failed.verdict == "fail"
    assert {f.rule for f in failed.findings if f.severity == "fail"} == {"dead_head"}
    waiver = '[[waivers]]\nrule = "dead_head"\nowner = "me"\nreason = "known"\n'
    assert judged(store, bert_tiny, ALL_DEAD + waiver).verdict == "pass"
    expired = judged(store, bert_tiny, ALL_DEAD + waiver + "expires = 2020-01-31\n")
    assert expired.verdict == "fail"
    assert [w["in_force"] for w in expired.policy.waivers] == [False]
    page = (store / expired.audit_id / "report.html").read_text("utf-8")
    assert "expired: counts as none" in page
