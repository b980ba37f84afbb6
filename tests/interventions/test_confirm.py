"""Findings are borne out, or not, by what taking their subjects out does to real and to planted models."""

from pathlib import Path

import pytest
import torch

from audit.interventions.candidates import BUDGETS, Budget
from audit.interventions.confirm import Confirmations, confirm
from audit.interventions.halves import halves
from audit.models.coverage import survey
from audit.models.loading import LoadedModel
from audit.results import Finding
from tests.architectures import tiny_model
from tests.interventions.subjects import (
    Texts,
    changed,
    counting_model,
    counting_texts,
    finding,
    loaded,
    opened,
    random_batches,
    text,
)

ALL = Budget(None, None)


def test_blocks_and_attention_without_a_part_in_the_loss_are_confirmed() -> None:
    """A causal model whose blocks do next to nothing: redundant, lazy, and no more than an MLP."""
    found = _confirm(
        loaded(counting_model(), "causal"),
        [finding("redundant_layer", 0), finding("lazy_layer", 1), finding("attention_as_mlp", 1)],
        *_counting(),
    )
    assert {id_: each.status for id_, each in found.by_finding.items()} == {
        "redundant_layer-0": "confirmed",
        "lazy_layer-1": "confirmed",
        "attention_as_mlp-1": "confirmed",
    }
    assert found.measure == "next-token loss"
    assert found.documents == 24
    assert found.level is not None
    assert found.margin == pytest.approx(min(0.01, 0.005 * found.level), rel=1e-5)
    assert found.together is not None
    assert found.together["effect"] < found.margin
    assert found.left_out == found.matter == ()


def test_a_loud_attention_that_only_disturbs_is_a_gain_to_lose() -> None:
    """Noise written into the stream: the model is better without, and that is said."""
    model = counting_model()
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.mul_(2000)
    found = _confirm(loaded(model, "causal"), [finding("lazy_layer", 0)], *_counting())
    (each,) = found.by_finding.values()
    assert each.status == "confirmed"
    assert each.details["gain"]
    assert each.details["effect"] < 0


def test_a_silenced_head_of_a_masked_model_is_confirmed(bert_tiny: Path) -> None:
    """A head of BERT-tiny of which a thousandth is left: dormant, by every replacement."""
    model = opened(bert_tiny)
    weight = model.model.bert.encoder.layer[1].attention.output.dense.weight
    with changed(weight):
        weight.unflatten(1, (2, -1))[:, 0] *= 1e-3
        found = _confirm(model, [finding("dormant_head", 1, 0)], *_parted(model))
    (each,) = found.by_finding.values()
    assert each.status == "confirmed"
    assert set(each.details["others"]) == {"zero", "uniform", "identity"}
    assert found.measure == "loss on 15% masked tokens"
    assert found.passes < 8


def test_a_head_of_an_encoder_that_looks_idle_and_is_not_is_found_out(minilm: Path) -> None:
    """MiniLM's texts move without it: the other way round, and beside what rounding alone does."""
    model = opened(minilm)
    weight = model.model.encoder.layer[2].attention.output.dense.weight
    with changed(weight):
        weight.unflatten(1, (12, -1))[:, 5] *= 1e-3
        findings = [finding("dormant_head", 2, 5), finding("lazy_layer", 0)]
        found = _confirm(model, findings, *_parted(model))
    assert found.by_finding["dormant_head-2-5"].status == "confirmed"
    assert found.by_finding["lazy_layer-0"].status == "not_confirmed"
    assert found.matter == ("lazy_layer-0",)
    assert found.measure == "change of the pairwise cosines of the pooled outputs"
    assert found.margin == 0.05
    assert found.rounding is not None
    assert 0 < found.rounding < 0.5


def test_the_same_question_twice_gives_the_same_answer(bert_tiny: Path) -> None:
    """Masks, halves and resamples are seeded: not one digit differs."""
    model = opened(bert_tiny)
    first, second = (_confirm(model, [finding("static_head", 0, 1)], *_parted(model)) for _ in range(2))
    assert first == second


def test_a_model_no_better_than_chance_confirms_nothing() -> None:
    """A random model: every part of it could go, and none is called redundant for it."""
    model = tiny_model("llama", "causal")
    texts = random_batches(model, samples=20, length=12, size=20)
    found = _confirm(loaded(model, "causal"), [finding("redundant_layer", 0)], texts, texts)
    (each,) = found.by_finding.values()
    assert each.status == "not_attempted"
    assert "not better than chance (4.85)" in each.reason
    assert found.measure is None


def test_a_model_whose_loss_is_not_finite_confirms_nothing() -> None:
    """NaN in a weight is a fault of its own."""
    model = counting_model()
    with torch.no_grad():
        model.lm_head.weight[5] = torch.nan
    found = _confirm(loaded(model, "causal"), [finding("lazy_layer", 0)], *_counting())
    assert "not finite" in found.by_finding["lazy_layer-0"].reason
    assert found.by_finding["lazy_layer-0"].status == "not_attempted"


def test_too_few_documents_ask_for_more() -> None:
    """Fifteen documents decide nothing."""
    texts = counting_texts(samples=15)
    found = _confirm(loaded(counting_model(), "causal"), [finding("lazy_layer", 0)], texts, texts)
    assert found.by_finding["lazy_layer-0"].status == "needs_more_samples"


def test_the_budget_bounds_the_findings_and_lists_the_others() -> None:
    """Ten are taken at the standard depth; what is left out is said to be."""
    findings = [finding("dormant_head", layer, head) for layer in (0, 1) for head in range(4)]
    findings += [finding("static_head", layer, head) for layer in (0, 1) for head in range(4)]
    found = _confirm(loaded(counting_model(), "causal"), findings, *_counting(), budget=BUDGETS["standard"])
    attempted = [id_ for id_, each in found.by_finding.items() if each.status != "not_attempted"]
    assert len(attempted) == 10
    assert len([id_ for id_ in attempted if id_.startswith("static")]) == 5
    assert set(found.left_out) >= set(found.by_finding) - set(attempted)
    assert "budget of 10 findings" in next(
        each.reason for each in found.by_finding.values() if each.status == "not_attempted"
    )


def test_the_budget_of_passes_leaves_out_other_replacements_only() -> None:
    """Each finding is decided; how else it could have been replaced is left out, and named."""
    findings = [finding("dormant_head", 0, head) for head in range(4)]
    found = _confirm(loaded(counting_model(), "causal"), findings, *_counting(), budget=Budget(None, 12.0))
    assert {each.status for each in found.by_finding.values()} == {"confirmed"}
    assert found.passes <= 12.0
    assert found.left_out
    assert all("head" in left and left.endswith(("zero", "uniform", "identity")) for left in found.left_out)
    tried = sum(len(each.details["others"]) for each in found.by_finding.values())
    assert tried + len(found.left_out) == 12


def test_confirmations_of_one_audit_share_their_error() -> None:
    """Four heads, four tests: the least p is multiplied by four."""
    findings = [finding("dormant_head", 0, head) for head in range(4)]
    found = _confirm(loaded(counting_model(), "causal"), findings, *_counting(), budget=Budget(None, 0.0))
    details = [each.details for each in found.by_finding.values()]
    least = min(each["p"] for each in details)
    assert min(each["p_holm"] for each in details) == pytest.approx(4 * least, rel=1e-4)


def test_two_findings_about_one_head_are_tried_and_corrected_for_once() -> None:
    """Static and dormant: one head, one ablation, one test."""
    findings = [finding("static_head", 0, 1), finding("dormant_head", 0, 1)]
    found = _confirm(loaded(counting_model(), "causal"), findings, *_counting(), budget=Budget(None, 0.0))
    first, second = found.by_finding.values()
    assert first == second
    assert first.details["p_holm"] == first.details["p"]
    assert found.together is None


def test_what_cannot_be_taken_out_is_not_attempted_and_says_why() -> None:
    """An architecture whose attention cannot be told from the stream."""
    model = tiny_model("xlm", "causal")
    texts = random_batches(model, samples=20, length=12, size=20)
    found = _confirm(loaded(model, "encoder"), [finding("lazy_layer", 0)], texts, texts)
    each = found.by_finding["lazy_layer-0"]
    assert each.status == "not_attempted"
    assert "what layer 0 adds to the residual stream was not seen" in each.reason


def test_without_findings_or_texts_nothing_is_run() -> None:
    """No pass is made for nothing."""
    model = loaded(counting_model(), "causal")
    assert _confirm(model, [], *_counting()).by_finding == {}
    nothing = Texts("prose", ())
    found = _confirm(model, [finding("lazy_layer", 0)], nothing, nothing)
    assert "no text" in found.by_finding["lazy_layer-0"].reason


def _confirm(
    model: LoadedModel, findings: list[Finding], detection: object, confirmation: object, budget: Budget = ALL
) -> Confirmations:
    return confirm(
        findings,
        model,
        layers=survey(model.model),
        detection=[detection],  # type: ignore[list-item]
        confirmation=[confirmation],  # type: ignore[list-item]
        budget=budget,
        seed=0,
    )


def _counting() -> tuple[Texts, Texts]:
    return counting_texts(samples=24, seed=1), counting_texts(samples=24, seed=2)


def _parted(model: LoadedModel) -> tuple[object, object]:
    return halves(text(model, samples=40, length=32))
