"""The skew rule: a remark where only attention leans, a finding where the output does too."""

from dataclasses import replace

import pytest

from audit.definitions import NotApplicable, NotMeasured
from audit.rules.attention_skew import judge
from tests.report.test_people import audit_with, axis, head
from tests.rules.cases import case


def judged(*axes, **changes):
    return judge(replace(case("attention_skew", {}), skew=audit_with(*axes, **changes).skew))


def test_a_skew_that_shows_in_the_output_is_a_finding():
    """Severity as the policy says; the head that carries it is named."""
    (found,) = judged(axis())
    assert found.severity is None
    assert (found.layer, found.head, found.about) == (1, 2, "demographics-gender")
    assert "head 2 of layer 1 carries 40% of that" in found.statement
    assert "'women' receives 0.02 more" in found.statement
    assert found.cause.startswith("the training data")


def test_a_skew_in_attention_alone_is_a_remark():
    """And so it is where the output was not measured."""
    leaning = axis().output
    (found,) = judged(axis(output=replace(leaning, p=0.4)))
    assert found.severity == "info"
    assert "does not differ between the groups beyond chance" in found.statement
    (found,) = judged(axis(output=None, output_absent="no head"))
    assert found.severity == "info"
    assert "was not measured (no head)" in found.statement


def test_a_difference_that_an_untrained_model_has_too_is_not_laid_to_the_data():
    """Not decidable."""
    (found,) = judged(axis(heads=(head(reinitialised=0.015),)))
    assert found.cause.startswith("not decidable")


@pytest.mark.parametrize("verdict", ["none found", "descriptive"])
def test_what_is_not_found_is_not_flagged(verdict):
    """Nor is the control, whatever it shows."""
    assert judged(axis(verdict=verdict), axis(name="control", control=True)) == ()


def test_what_was_not_fed_or_cannot_be_is_said():
    """Two different things."""
    assert isinstance(judge(case("attention_skew", {})), NotMeasured)
    assert isinstance(judged(absent="no tokenizer"), NotApplicable)
    assert isinstance(judged(axis(verdict="not applicable", reason="another language")), NotApplicable)
