"""Rules on collapse and gradients: each flags its fault, spares the healthy look-alike, and says when it could not judge."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from audit import catalog
from audit.definitions import Case, NotApplicable, NotMeasured
from audit.models.coverage import survey
from audit.models.gradients import Backward
from audit.models.inputs import model_inputs
from audit.results import Measurement
from tests.models.watching import batch_of, frozen
from tests.rules.cases import case, layers, measured
from tests.rules.test_taxonomy import BOTH, built, flagged, suspicions

STEADY = [1.0, 1.2, 0.9, 1.1, 1.0, 1.3]
FADING = [0.001, 0.004, 0.02, 0.08, 0.4, 1.6]  # towards the first layer
GROWING = FADING[::-1]
MATRICES = ("value_gradient", "output_gradient", "mlp_gradient")
SIX = layers(2, 2, 2, 2, 2, 2)


def gradients(rule: str, stream: Any, matrices: Any, **more: Any) -> Case:
    """Six layers whose stream and matrices have these gradients; queries and keys are at a fifth of the values."""
    values = {"hidden_gradient": stream, **dict.fromkeys(MATRICES, matrices)}
    values |= {key: [value / 5 for value in STEADY] for key in ("query_gradient", "key_gradient")}
    return built(rule, values | more, coverage=SIX)


@pytest.mark.parametrize(
    ("rule", "values"), [("vanishing_gradient", FADING), ("exploding_gradient", GROWING)]
)
def test_gradients_that_change_over_the_whole_depth_are_flagged(rule: str, values: list[float]) -> None:
    """1,600-fold between first and last layer, in the stream and in the matrices; once for the stack."""
    made = gradients(rule, values, values)
    (found,) = suspicions(rule, made)
    other = {"vanishing_gradient", "exploding_gradient"} - {rule}

    assert (found.layer, found.head) == (None, None)
    assert "of the decoder" in found.statement
    assert {(e.metric, e.probe) for e in found.evidence} == {
        (m, p) for m in ("hidden_gradient", *MATRICES) for p in BOTH
    }
    assert all(flagged(name, gradients(name, values, values)) == [] for name in other)


@pytest.mark.parametrize(
    ("stream", "matrices"),
    [
        (STEADY, STEADY),
        (FADING, STEADY),
        (STEADY, FADING),
        ((FADING, STEADY), FADING),
        ([*STEADY[:-1], 1e-09], [*STEADY[:-1], 0.0]),
        ([0.0] * 6, [0.0] * 6),
    ],
    ids=["even", "stream alone", "matrices alone", "on prose alone", "one dead layer", "no gradient at all"],
)
@pytest.mark.parametrize("rule", ["vanishing_gradient", "exploding_gradient"])
def test_what_is_no_trend_of_both_is_spared(rule: str, stream: Any, matrices: Any) -> None:
    """Both kinds of gradient, on both kinds of text, over the depth: less is not enough."""
    for turned in (stream, stream[::-1] if isinstance(stream, list) else stream):
        assert flagged(rule, gradients(rule, turned, matrices)) == []


@pytest.mark.parametrize("rule", ["vanishing_gradient", "exploding_gradient"])
def test_a_model_without_a_loss_is_not_judged_and_the_reason_is_passed_on(rule: str) -> None:
    """The metric's own reason stands in the check."""
    absent = {"prose": Measurement(value=None, absent="without a loss there is no gradient: no head")}
    judgement = catalog.rules()[rule].judge(case(rule, {"hidden_gradient": absent}))
    assert isinstance(judgement, NotMeasured)
    assert "no head" in judgement.reason
    unasked = catalog.rules()[rule].judge(case(rule, {"attention_entropy": {"prose": measured([[0.5]])}}))
    assert isinstance(unasked, NotMeasured)
    assert "--depth full" in unasked.reason


@pytest.mark.parametrize("rule", ["vanishing_gradient", "exploding_gradient"])
def test_two_layers_have_no_trend(rule: str) -> None:
    """Not applicable: BERT-tiny is not judged by one step."""
    made = built(rule, {"hidden_gradient": [0.001, 1.0], **{key: [0.001, 1.0] for key in MATRICES}})
    assert isinstance(catalog.rules()[rule].judge(made), NotApplicable)


def test_queries_and_keys_without_gradient_are_flagged_where_they_are() -> None:
    """A ten-thousandth of the values' in layer 3, in both; the keys alone are not enough; depth does not matter."""
    little = [value / 5 for value in STEADY]
    little[3] = 1e-4
    both = gradients("vanishing_gradient", STEADY, STEADY, query_gradient=little, key_gradient=little)
    keys = gradients("vanishing_gradient", STEADY, STEADY, key_gradient=little)
    shallow = built(
        "vanishing_gradient",
        {"hidden_gradient": [1.0, 1.0], **{key: [1.0, 1.0] for key in MATRICES}, **{key: [1e-05, 0.2] for key in ("query_gradient", "key_gradient")}},
    )  # fmt: skip

    assert flagged("vanishing_gradient", both) == [(3, None)]
    assert flagged("vanishing_gradient", keys) == []
    assert flagged("vanishing_gradient", shallow) == [(0, None)]


def width(**changes: Any) -> Case:
    """Layer 0 averages in both heads, head (1, 1) has structure, unless changed."""
    values = {
        "centred_sigma_1": [[0.05, 0.06], [0.05, 0.9]],
        "turned_sigma_1": [[0.05, 0.055], [0.05, 0.4]],
        "sigma_1": [[1.0, 1.0], [1.0, 1.2]],
        "token_stable_rank_without_sink": [1.06, 1.5],
    }
    return built("rank_collapse_width", values | changes)


def test_a_layer_that_only_averages_is_flagged_beside_its_null() -> None:
    """The head nearest to structure, its turned self, and the tokens' rank."""
    (found,) = suspicions("rank_collapse_width", width())
    assert (found.layer, found.head) == (0, None)
    assert [(e.metric, e.value, e.null) for e in found.evidence[:2]] == [
        ("centred_sigma_1", 0.06, 0.055),
        ("token_stable_rank_without_sink", 1.06, None),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"centred_sigma_1": [[0.05, 0.1], [0.05, 0.9]]},
        {"centred_sigma_1": ([[0.05, 0.06], [0.05, 0.9]], [[0.05, 0.3], [0.05, 0.9]])},
        {"centred_sigma_1": [[0.4, 0.4], [0.4, 0.9]], "turned_sigma_1": [[0.4, 0.4], [0.4, 0.4]]},
        {"turned_sigma_1": [[0.05, None], [0.05, 0.4]]},
    ],
    ids=["twice its null", "structure on code", "far from an average", "a head without a null"],
)
def test_structure_in_one_head_or_on_one_text_spares_a_layer(changes: dict[str, Any]) -> None:
    """Learnt structure shows against the null; sharp attention is no average, learnt or not."""
    assert flagged("rank_collapse_width", width(**changes)) == []


def test_width_is_not_judged_without_its_null() -> None:
    """Not measured, naming the depth that does."""
    judgement = catalog.rules()["rank_collapse_width"].judge(
        built("rank_collapse_width", {"sigma_1": [[1.0, 1.0]]})
    )
    assert isinstance(judgement, NotMeasured)
    assert "--depth full" in judgement.reason


def collapsed(**more: Any) -> Case:
    values = {"token_similarity_without_sink": [0.4, 0.995, 0.999], "token_effective_rank": [0.5, 0.03, 0.01]}
    return built("rank_collapse_depth", values | more, coverage=layers(2, 2, 2))


@pytest.mark.parametrize(
    ("exponents", "cause"),
    [
        ([-0.5, -4.0, -1.0], "attention averages"),
        ([-0.1, 0.0, -1.6], "before the first block"),
        (None, "attention averages"),
    ],
    ids=["blocks", "embeddings", "not measured"],
)
def test_the_angle_exponents_tell_whether_the_blocks_did_it(
    exponents: list[float] | None, cause: str
) -> None:
    """Blocks that brought nothing together are not to blame."""
    (found,) = suspicions(
        "rank_collapse_depth", collapsed(**({"angle_exponent": exponents} if exponents else {}))
    )
    assert cause in found.cause


def test_a_collapse_is_shown_with_its_norms_and_gradients() -> None:
    """What was measured beside stands as evidence without a threshold."""
    beside = {
        "token_residual": [0.7, 0.1, 0.05],
        "query_gradient": [1.0, 0.1, 0.01],
        "value_gradient": [1.0, 1.0, 1.0],
    }
    (found,) = suspicions("rank_collapse_depth", collapsed(**beside))
    shown = {e.metric: (e.value, e.threshold) for e in found.evidence}
    assert shown["token_residual"] == (0.05, None)
    assert shown["query_gradient"] == (0.01, None)
    assert shown["token_effective_rank"] == (0.01, 0.05)


@pytest.mark.parametrize(("noise", "expected"), [(1e-4, [0, 1]), (1.0, [])], ids=["collapsed", "healthy"])
def test_tokens_that_are_all_alike_leave_queries_and_keys_without_gradient(
    noise: float, expected: list[int]
) -> None:
    """A real backward pass through embeddings of one vector and next to nothing else, in a small Llama."""
    model = frozen("llama", "causal")
    table = model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    table.data = torch.randn(1, 64, generator=generator) + noise * torch.randn(128, 64, generator=generator)
    ids = torch.randint(20, 120, (1, 24), generator=generator)
    fed = model_inputs(model, batch_of(ids, torch.ones_like(ids).bool()), every_logit=True)
    seen = Backward(model, survey(model)).observe(fed, lambda output: cross_entropy(output.logits[0], ids[0]))
    names = ("query_gradient", "key_gradient", *MATRICES, "hidden_gradient")
    values = [{name: float(catalog.metrics()[name].compute(o)) for name in names} for o in seen]  # type: ignore[union-attr]
    made = built(
        "vanishing_gradient", {name: [of[name] for of in values] for name in names}, probes=("prose",)
    )

    judgement = catalog.rules()["vanishing_gradient"].judge(made)
    flags = [found.layer for found in judgement] if isinstance(judgement, tuple) else []
    assert flags == expected
