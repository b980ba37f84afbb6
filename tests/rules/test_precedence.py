"""One head is named once, by the rule that says most of it."""

from typing import Any

from audit import catalog, policy
from audit.judge import PRECEDENCE, Judged, in_precedence, judge
from tests.rules.cases import case, layers, measured, subject


def judged(values: dict[str, Any]) -> Judged:
    measurements = {
        metric: {probe: measured(value) for probe in ("prose", "code")} for metric, value in values.items()
    }
    built = case("dead_head", measurements, coverage=layers(2))
    return judge(subject(), built.coverage, measurements, policy.load(), reproduce="x")


SICK = {
    "head_output_norm": [[0.0, 2.0]],
    "fixed_column_mass": [[0.99, 0.1]],
    "input_divergence": [[0.0, 0.8]],
    "attention_entropy": [[0.999, 0.5]],
    "twin_similarity": [[0.999, 0.3]],
}


def test_the_order_is_dead_collapsed_static_dormant_uniform() -> None:
    """With each taken away the next one speaks, and the duplicate stands beside them all."""
    quiet = SICK | {"head_output_norm": [[0.1, 1.9]]}
    steps = [
        (SICK, "dead_head"),
        (quiet, "collapsed_head"),
        (quiet | {"fixed_column_mass": [[0.1, 0.1]]}, "static_head"),
        (quiet | {"fixed_column_mass": [[0.1, 0.1]], "input_divergence": [[0.8, 0.8]]}, "dormant_head"),
        (
            quiet
            | {
                "fixed_column_mass": [[0.1] * 2],
                "input_divergence": [[0.8] * 2],
                "head_output_norm": [[1.0] * 2],
            },
            "uniform_head",
        ),
    ]
    for values, rule in steps:
        assert sorted(f.rule for f in judged(values).findings) == sorted([rule, "duplicate_head"])


def test_a_check_tells_what_precedence_took_from_it() -> None:
    """The rule did flag the head: its check says so, and that another names it."""
    checks = {check.rule: check for check in judged(SICK).checks}
    assert checks["static_head"].outcome == "flagged"
    assert checks["dead_head"].reason == "1 flagged; output_weight_norm was not measured"
    assert checks["static_head"].reason.startswith("1 flagged, 0 of them")


def test_a_remark_hides_nothing() -> None:
    """A head that sleeps on prose only is still called uniform."""
    values = {
        "head_output_norm": {"prose": measured([[0.1, 1.9]]), "code": measured([[1.0, 1.0]])},
        "attention_entropy": {probe: measured([[0.999, 0.5]]) for probe in ("prose", "code")},
    }
    built = case("dead_head", values, coverage=layers(2))
    found = judge(subject(), built.coverage, values, policy.load(), reproduce="x").findings
    assert sorted((f.rule, f.severity) for f in found) == [
        ("dormant_head", "info"),
        ("uniform_head", "watch"),
    ]


def test_every_rule_is_asked_once() -> None:
    """Those of the precedence first, in its order."""
    order = [rule.name for rule in in_precedence(catalog.rules())]
    assert tuple(order[: len(PRECEDENCE)]) == PRECEDENCE
    assert sorted(order) == sorted(catalog.rules())
