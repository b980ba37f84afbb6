"""The skew rule: a remark where only attention leans, a finding where the output does too."""

from dataclasses import replace

import pytest

from audit.definitions import NotApplicable, NotMeasured
from audit.rules.attention_skew import judge
from tests.report.test_people import audit_with, axis, head, remedy
from tests.rules.cases import case


def judged(*axes, **changes):
    return judge(replace(case("attention_skew", {}), skew=audit_with(*axes, **changes).skew))


def test_a_skew_that_shows_in_the_output_is_a_finding():
    """Severity as the policy says; the head that carries it is named."""
    (found,) = judged(axis())
    assert found.severity is None
    assert (found.layer, found.head, found.about) == (1, 2, "demographics-gender")
    assert found.statement == (
        "Gender: words for 'women' receive 0.02 [0.01, 0.03] more of each word's attention than words for 'men'; "
        "predictions differ too."
    )
    assert found.topic == "Gender"
    assert [(each.metric, each.value) for each in found.evidence] == [
        ("received", 0.02),
        ("output", 0.3),
        ("carries", 0.4),
    ]
    assert found.remedy == (
        "silencing the 3 named heads leaves 80% [70%, 90%] of the skew in attention and 50% [40%, 60%] of the difference "
        "in predictions; the loss changes by +0.02 nats per token [0.01, 0.03]"
    )
    assert found.cause.startswith("the training data")


def test_what_a_head_carries_is_told_once():
    """However many of its quantities differ; of another head it is told too."""
    heads = (head(), head(quantity="given"), head(head=5, carries=0.1))
    (found,) = judged(axis(heads=heads))
    assert [each.value for each in found.evidence if each.metric == "carries"] == [0.4, 0.1]


def test_a_skew_in_attention_alone_is_a_remark():
    """And so it is where the output was not measured."""
    leaning = axis().output
    (found,) = judged(axis(output=replace(leaning, p=0.4)))
    assert found.severity == "info"
    assert found.statement.endswith("; predictions do not differ beyond chance.")
    (found,) = judged(axis(output=None, output_absent="no head"))
    assert found.severity == "info"
    assert found.statement.endswith("; predictions were not measured.")


@pytest.mark.parametrize(
    ("quantity", "difference", "said"),
    [
        (
            "received_from_attribute",
            -0.02,
            "words for 'men' receive 0.02 [0.01, 0.03] more of the attribute's attention",
        ),
        ("given", -0.02, "words for 'men' give the sentence 0.02 [0.01, 0.03] more of their attention"),
        (
            "given_to_attribute",
            0.02,
            "words for 'women' give the attribute 0.02 [0.01, 0.03] more of their attention",
        ),
        ("divergence", 0.02, "the pattern differs 0.02 nats more between 'women' and 'men' than within them"),
        (
            "column_difference",
            0.02,
            "who attends to the word differs 0.02 more between 'women' and 'men' than within",
        ),
    ],
)
def test_the_sentence_is_short_and_says_who_gets_more(quantity, difference, said):
    """One line, whatever differs."""
    bounds = (0.01, 0.03) if difference > 0 else (-0.03, -0.01)
    found = head(quantity=quantity, difference=difference, low=bounds[0], high=bounds[1])
    (found,) = judged(axis(heads=(found,), title="Socio-economic status"))
    assert said in found.statement
    assert len(found.statement.split()) <= 28


def test_an_interval_that_holds_zero_is_left_to_the_evidence():
    """It would read as if the direction were known that well."""
    (found,) = judged(axis(heads=(head(low=-0.01, high=0.03),)))
    assert "[" not in found.statement
    assert (found.evidence[0].low, found.evidence[0].high) == (-0.01, 0.03)


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        ((), None),
        (
            (remedy(heads=1, skew=None, loss_low=None),),
            "silencing the named head leaves an unknown share of the skew",
        ),
    ],
)
def test_a_remedy_that_was_not_tried_is_not_claimed(tried, said):
    """Nor is a share that is not known."""
    (found,) = judged(axis(remedies=tried))
    assert found.remedy is None if said is None else found.remedy.startswith(said)


def test_a_difference_that_an_untrained_model_has_too_is_not_laid_to_the_data():
    """Not decidable."""
    (found,) = judged(axis(heads=(head(reinitialised=0.015),)))
    assert found.cause.startswith("not decidable")


def test_of_pronouns_it_is_said_which_one_looks():
    """Data sets of coreference compare pronouns, not words for groups."""
    found = head(quantity="received_from_pronoun", difference=-0.02, low=-0.03, high=-0.01)
    (found,) = judged(axis(heads=(found,), title="WinoBias"))
    assert found.statement.startswith(
        "WinoBias: an occupation receives 0.02 [0.01, 0.03] more attention from the pronoun that does not fit its "
        "stereotype than from the one that does;"
    )


def test_what_is_not_found_is_not_flagged():
    """Nor is the control, whatever it shows, nor what stands beside it and is only described."""
    few = axis(name="age", verdict="descriptive", reason="3 templates are too few to judge by")
    assert judged(axis(verdict="none found"), few, axis(name="control", control=True)) == ()


def test_axes_that_are_only_described_are_no_clean_bill():
    """The check says why nothing was judged."""
    found = judged(axis(verdict="descriptive", reason="3 templates are too few to judge by"))
    assert found == NotMeasured("described, not judged: 3 templates are too few to judge by")


def test_what_was_not_fed_or_cannot_be_is_said():
    """Two different things."""
    assert isinstance(judge(case("attention_skew", {})), NotMeasured)
    assert isinstance(judged(absent="no tokenizer"), NotApplicable)
    assert isinstance(judged(axis(verdict="not applicable", reason="another language")), NotApplicable)
