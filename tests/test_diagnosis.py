"""Findings that share a cause stand together; what nothing measured decides is said to be not decidable."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from audit import catalog
from audit.diagnosis import GROUPS, WITHOUT_CAUSE, diagnose
from audit.history import trained
from audit.initial import initial
from audit.results import Confirmation, Finding
from audit.results.training import Logged, Training
from tests.theory.configurations import BERT

SOUND = initial(SimpleNamespace(config=BERT | {"num_hidden_layers": 2})).here


def finding(rule, layer=None, *, severity="watch", cause="", matters=False):
    return Finding(
        id=rule if layer is None else f"{rule}-l{layer:03d}",
        rule=rule,
        severity=severity,
        layer=layer,
        head=None,
        cause=cause,
        statement="",
        evidence=(),
        confirmation=Confirmation(status="not_confirmed", reason="", details={"matters": matters}),
        mitigation="",
        remedy=None,
        references=(),
        limits="",
        reproduce="",
    )


def record(broken=0):
    generator = random.Random(0)
    curve = tuple(
        Logged(step=step, loss=2 + generator.random() if step <= 100 - broken else float("nan"))
        for step in range(1, 101)
    )
    return trained(Training(files=("f",), curve=curve, lines=100))


def groups(*findings, trainability=SOUND, training=None):
    return {each.findings: each for each in diagnose(findings, trainability, training)}


COLLAPSE = (
    finding("rank_collapse_depth", 3),
    finding("vanishing_gradient", 4),
    finding("vanishing_gradient"),
)


def test_every_rule_has_a_group_or_no_cause_to_look_for():
    grouped = frozenset().union(*(group.rules for group in GROUPS))
    assert grouped | WITHOUT_CAUSE == set(catalog.rules())
    assert not grouped & WITHOUT_CAUSE


def test_a_rank_collapse_and_the_gradients_it_takes_are_one_cause():
    """From its first layer on; what vanishes before it has another reason."""
    found = groups(*COLLAPSE, finding("vanishing_gradient", 1))
    together = found["rank_collapse_depth-l003", "vanishing_gradient-l004", "vanishing_gradient"]
    assert "one cause, not two" in together.reasoning[0]
    assert found[("vanishing_gradient-l001",)].cause == "not decidable"


@pytest.mark.parametrize(
    ("more", "changes", "cause", "words"),
    [
        ((), {}, "not decidable", "There is no record of the training"),
        ((), {"training": record()}, "not decidable", "The record is steady"),
        ((), {"trainability": None}, "not decidable", "no theory of this configuration"),
        ((), {"trainability": replace(SOUND, assumptions=("parallel",))}, "not decidable", "only comes near"),
        ((finding("init_rank_collapse"),), {}, "initialisation", "seen in the trained weights"),
        ((finding("training_instability"),), {}, "training dynamics", "came first"),
        ((finding("training_instability", severity="info"),), {"training": record()}, "not decidable", "steady"),
    ],
    ids=["no record", "steady", "no theory", "theory only near", "from the start", "unsteady", "swinging"],
)  # fmt: skip
def test_what_decides_where_a_collapse_comes_from(more, changes, cause, words):
    (found,) = (
        d for ids, d in groups(*COLLAPSE, *more, **changes).items() if "rank_collapse_depth-l003" in ids
    )
    assert found.cause == cause
    assert words in " ".join(found.reasoning)


def test_a_start_in_collapse_that_training_overcame_is_told_so():
    (found,) = groups(finding("init_rank_collapse")).values()
    assert "not seen in the trained weights" in found.reasoning[0]


def test_frozen_attention_takes_the_gradients_of_its_own_layer():
    found = groups(
        finding("entropy_collapse", 2), finding("vanishing_gradient", 2), finding("vanishing_gradient", 3)
    )
    assert set(found) == {("entropy_collapse-l002", "vanishing_gradient-l002"), ("vanishing_gradient-l003",)}


def test_weights_that_are_not_finite_belong_to_the_record_that_broke():
    numbers, unsteady = finding("nonfinite_weights"), finding("training_instability", severity="fail")
    (found,) = groups(numbers, unsteady, training=record(broken=20)).values()
    assert found.cause == "training dynamics"
    assert found.reasoning == (
        "From step 81 on the record is not finite and the weights hold such numbers too.",
    )
    assert groups(numbers)[("nonfinite_weights",)].cause == "not decidable"
    assert groups(unsteady, training=record())[("training_instability",)].cause == "not decidable"
    both = groups(finding("exploding_gradient"), unsteady, training=record())
    assert both["exploding_gradient", "training_instability"].cause == "training dynamics"


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (finding("attention_skew", cause="the training data: less than half"), "data"),
        (finding("attention_skew", cause="not decidable: none"), "not decidable"),
        (finding("undertrained_positions"), "data"),
        (finding("norm_placement", severity="info"), "architecture"),
        (finding("lazy_layer", 1), "not decidable"),
    ],
)
def test_other_causes(made, cause):
    assert [each.cause for each in groups(made).values()] == [cause]


def test_what_matters_or_is_ordinary_has_no_cause_to_look_for():
    assert groups(finding("lazy_layer", 1, matters=True), finding("static_head", 0, severity="info")) == {}
