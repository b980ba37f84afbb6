"""From suspicions to findings: severities, order, ids and one check per rule."""

import pytest

from audit import catalog, policy
from audit.judge import judge
from tests.rules.cases import case, layers, measured, subject

UNIFORM = {"attention_entropy": {"prose": measured([[0.6, 0.995], [0.999, 0.7]])}}


def judged(measurements=UNIFORM, of=None, use=None):
    built = case("uniform_head", measurements, coverage=layers(2, 2))
    return judge(
        of or subject(), built.coverage, measurements, use or policy.load(), reproduce="attnaudit run X"
    )


def test_every_rule_leaves_one_check():
    """A rule that said nothing would look like one that passed."""
    assert [check.rule for check in judged().checks] == list(catalog.rules())


def test_findings_have_stable_ids_and_an_order():
    """Worst first, then rule, layer, head."""
    found = judged(of=subject(nonfinite=(("w", 1),)))
    assert [finding.id for finding in found.findings] == [
        "nonfinite_weights",
        "uniform_head-l000-h001",
        "uniform_head-l001-h000",
    ]


@pytest.mark.parametrize("asked", ["info", "watch", "fail"])
def test_what_was_not_confirmed_is_at_most_watch(asked):
    """Whatever the policy says, a suspicion alone does not fail a checkpoint."""
    ours = policy.load()
    ours.severity["uniform_head"] = asked
    severities = {f.severity for f in judged(use=ours).findings}
    assert severities == {"info" if asked == "info" else "watch"}


def test_an_absolute_finding_keeps_its_severity():
    """Counted non-finite weights need no ablation to fail."""
    (found,) = [
        f for f in judged(of=subject(nonfinite=(("w", 1),))).findings if f.rule == "nonfinite_weights"
    ]
    assert found.severity == "fail"


def test_what_could_not_be_judged_says_why():
    """No measurement, no verdict of that rule: the check carries the reason."""
    checks = {check.rule: check for check in judged(measurements={}).checks}
    assert checks["entropy_collapse"].outcome == "not_measured"
    assert "attention_entropy" in checks["entropy_collapse"].reason
