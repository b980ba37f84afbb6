"""From suspicions to findings: severities, order, ids and one check per rule."""

import pytest

from audit import catalog, policy
from audit.interventions.candidates import candidates
from audit.judge import borne_out, judge
from audit.results import Confirmation
from tests.rules.cases import case, layers, measured, subject
from tests.rules.test_taxonomy import dormant

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


def test_a_finding_that_no_ablation_speaks_to_does_not_say_that_none_was_run():
    """Where others were tried, it says that there is nothing to take out; where none was, that none was run."""
    found = judged().findings
    tried = {found[0].id: Confirmation(status="needs_more_samples", reason="")}
    _, beside = borne_out(found, tried, policy.load())
    assert "no ablation speaks to it" in beside.confirmation.reason
    _, beside = borne_out(found, {}, policy.load())
    assert "no ablation was run" in beside.confirmation.reason


def test_what_could_not_be_judged_says_why():
    """No measurement, no verdict of that rule: the check carries the reason."""
    checks = {check.rule: check for check in judged(measurements={}).checks}
    assert checks["entropy_collapse"].outcome == "not_measured"
    assert "attention_entropy" in checks["entropy_collapse"].reason


def test_a_rule_counts_the_heads_it_had_no_number_for():
    """'Passed' over half of the heads is not 'passed'."""
    found = {"attention_entropy": {"prose": measured([[0.6, None], [None, 0.7]]), "code": measured(None)}}
    checks = {check.rule: check for check in judged(measurements=found).checks}
    assert checks["uniform_head"].outcome == "passed"
    assert "2 of 4 heads have no attention_entropy on prose" in checks["uniform_head"].reason
    assert "attention_entropy was not measured on code" in checks["uniform_head"].reason


def test_a_flagging_rule_counts_them_too():
    """What was flagged says nothing about the heads that were not looked at."""
    found = {"attention_entropy": {"prose": measured([[0.6, 0.999], [0.4, None]])}}
    checks = {check.rule: check for check in judged(measurements=found).checks}
    assert checks["uniform_head"].reason == "1 flagged; 1 of 4 heads have no attention_entropy on prose"


def test_a_whole_measurement_leaves_no_remark():
    """Every head had its number."""
    checks = {check.rule: check for check in judged().checks}
    assert checks["uniform_head"].reason == "2 flagged"


def test_layers_of_another_kind_are_not_missed():
    """A layer without softmax attention has nothing that could be judged."""
    found = {"block_influence": {"prose": measured([0.5, None, None])}}
    built = case("redundant_layer", found, coverage=layers(2, 0, 2))
    judgement = judge(subject(), built.coverage, found, policy.load(), reproduce="attnaudit run X")
    checks = {check.rule: check for check in judgement.checks}
    assert checks["redundant_layer"].reason.endswith("; 1 of 2 layers have no block_influence on prose")


def test_a_rule_that_needs_two_metrics_does_not_pass_on_one():
    """Half of a criterion cannot be met, which is no reason to pass."""
    found = {"token_similarity_without_sink": {"prose": measured([0.99, 0.99])}}
    checks = {check.rule: check for check in judged(measurements=found).checks}
    assert checks["rank_collapse_depth"].outcome == "not_measured"
    assert "token_effective_rank" in checks["rank_collapse_depth"].reason


@pytest.mark.parametrize("rule", sorted(catalog.rules()))
def test_every_rule_says_which_numbers_it_needs(rule):
    """Else cells without a number would go uncounted; others count tensors, layers or axes, or judge the configuration."""
    needs = catalog.rules()[rule].reads
    untrained = {
        "init_rank_collapse",
        "init_entropy_collapse",
        "norm_placement",
        "undertrained_positions",
        "long_range_forgetting",
    }
    assert (
        needs
        or rule
        in {"nonfinite_weights", "unobserved_layers", "attention_skew", "training_instability"} | untrained
    )
    assert set(needs) <= set(catalog.metrics())


def test_a_remark_is_reported_and_is_no_flag():
    """A head that sleeps on one kind of text and works on the other: said, the check passes, nobody takes it out."""
    awake = [[1.0, 1.0, 0.9], [1.2, 1.3, 1.6]]
    made = dormant(head_output_norm=([[1.0, 1.0, 0.9], [0.1, 1.3, 1.6]], awake))
    found = judge(made.subject, made.coverage, made.measurements, policy.load(), reproduce="")
    (check,) = [check for check in found.checks if check.rule == "dormant_head"]
    assert check.outcome == "passed"
    assert "1 remarked on, which is no flag" in check.reason
    (finding,) = [finding for finding in found.findings if finding.rule == "dormant_head"]
    assert finding.severity == "info"
    assert candidates([finding]) == []
