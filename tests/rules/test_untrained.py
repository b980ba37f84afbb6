"""Rules about the untrained configuration: common ones pass, sick ones are named, never worse than to be watched."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from audit import catalog, policy
from audit.definitions import NotMeasured, Suspicion
from audit.judge import judge
from audit.results.subject import Skipped
from audit.results.trainability import Trainability
from audit.theory.configuration import from_config
from audit.theory.diagram import diagram
from tests.rules.cases import case, subject
from tests.theory.configurations import BERT, GPT2, LLAMA

RULES = ("init_entropy_collapse", "init_rank_collapse", "norm_placement")
DEEP = BERT | {"num_hidden_layers": 200}
SHARP = GPT2 | {"initializer_range": 0.15}


@cache
def _found(items: tuple[tuple[str, Any], ...]) -> Trainability:
    return diagram(from_config(dict(items)), axes=()).here


def untrained(config: dict[str, Any]) -> Trainability:
    return _found(tuple(config.items()))


def said(rule: str, here: Trainability) -> tuple[Suspicion, ...]:
    judgement = catalog.rules()[rule].judge(case(rule, {}, untrained=here))
    assert isinstance(judgement, tuple)
    return judgement


@pytest.mark.parametrize("config", [BERT, GPT2, LLAMA], ids=lambda config: config["model_type"])
def test_common_initialisations_pass(config: dict[str, Any]):
    """Judged at the real depth with the skips: otherwise every model drawn with sd .02 would be flagged."""
    assert not said("init_rank_collapse", untrained(config))
    assert not said("init_entropy_collapse", untrained(config))


def test_a_stack_too_deep_for_its_skips_is_named_with_what_would_mend_it():
    """BERT of 200 blocks: the cosine, and the changes that make it trainable."""
    (found,) = said("init_rank_collapse", untrained(DEEP))
    assert found.evidence[0].value is not None
    assert found.evidence[0].value > 0.99
    assert "What would mend it" in found.statement
    assert "pre-LN instead of post-LN" in found.statement


def test_frozen_attention_is_named():
    """GPT-2 drawn with sd .15."""
    (found,) = said("init_entropy_collapse", untrained(SHARP))
    assert "attention is frozen" in found.statement
    assert not said("init_rank_collapse", untrained(SHARP))


def test_post_norm_is_a_remark_and_pre_norm_is_none():
    """With what the other placement would do beside it; of an unknown type nothing is claimed."""
    (found,) = said("norm_placement", untrained(BERT))
    assert found.severity == "info"
    assert "with pre-norm" in found.statement
    assert not said("norm_placement", untrained(GPT2))
    unknown = catalog.rules()["norm_placement"].judge(
        case("norm_placement", {}, untrained=untrained(BERT | {"model_type": "novel"}))
    )
    assert isinstance(unknown, NotMeasured)
    assert "'novel'" in unknown.reason


@pytest.mark.parametrize("rule", RULES)
def test_without_an_answer_the_reason_is_given(rule: str):
    """The coverage says why."""
    built = case(rule, {})
    skipped = (Skipped(metric="trainability", reason="no softmax attention"),)
    told = replace(built, coverage=replace(built.coverage, skipped=skipped))
    judgement = catalog.rules()[rule].judge(told)
    assert isinstance(judgement, NotMeasured)
    assert judgement.reason == "no softmax attention"


@pytest.mark.parametrize(
    ("config", "severity"), [(DEEP, "watch"), (DEEP | {"num_experts": 8}, "info")], ids=["covered", "nearest"]
)
def test_arithmetic_is_never_a_failure(config: dict[str, Any], severity: str):
    """Watch where the theory covers the architecture, a remark where it only comes near."""
    built = case("init_rank_collapse", {})
    judged = judge(
        subject(), built.coverage, {}, policy.load(), reproduce="x", trainability=untrained(config)
    )
    (found,) = [each for each in judged.findings if each.rule == "init_rank_collapse"]
    assert (found.severity, found.confirmation.status) == (severity, "absolute")
