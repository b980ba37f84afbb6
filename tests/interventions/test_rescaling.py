"""Another residual scale: branches planted too large are found and give the loss back, a sound model is left alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from audit.interventions.branches import Branch, gradient_ratios, read
from audit.interventions.effects import objective
from audit.interventions.remedies import with_remedies
from audit.interventions.rescaling import ALIKE, GROWTH, rescaled, scalings
from audit.models.loading import LoadedModel
from tests.architectures import tiny_model
from tests.interventions.subjects import changed, counting_texts, finding, loaded

BLOCKS, WIDTH, LARGER = 6, 64, 30.0
COLLAPSED = replace(finding("rank_collapse_depth", 3), layer=3)
VANISHING = replace(finding("vanishing_gradient", 0), layer=None)


@pytest.fixture(scope="module")
def counting() -> LoadedModel:
    """A GPT-2 of random blocks beside embeddings that know which token follows."""
    config = GPT2Config(
        vocab_size=160,
        n_positions=32,
        n_embd=WIDTH,
        n_layer=BLOCKS,
        n_head=4,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
        model.transformer.wte.weight.normal_()
        for block in model.transformer.h:  # attention that averages, and adds about as much as its neighbours
            block.attn.c_attn.weight[:, 2 * WIDTH :].normal_(std=0.1)
            block.attn.c_proj.weight.normal_(std=0.05)
            block.mlp.c_proj.weight.normal_(std=0.1)
        model.lm_head.weight[1:] = 0.11 * model.transformer.wte.weight[:-1]
    return loaded(model, "causal")


def planted(model: LoadedModel) -> list[Any]:
    """The residual projections of two blocks."""
    blocks: Any = model.model
    return [blocks.transformer.h[n].attn.c_proj.weight for n in (2, 4)]


def tried(model: LoadedModel, *findings: Any) -> tuple[Any, ...]:
    detection, confirmation = ([counting_texts(samples=24, name="numbers", seed=seed)] for seed in (1, 2))
    return rescaled(list(findings), model, detection=detection, confirmation=confirmation, seed=0)


def loss(model: LoadedModel, scaling: dict[Branch, float]) -> float:
    measure: Any = objective(model, seed=0)
    return float(
        read(model.model, measure, [counting_texts(samples=24, seed=2)], [scaling])[0].samples.clean.mean()
    )


def test_branches_that_were_made_too_large_are_brought_back(counting: LoadedModel) -> None:
    """They are found by their size, the loss falls surely to about what it was, and the tokens move."""
    sound, projections = loss(counting, {}), planted(counting)
    with changed(*projections):
        for projection in projections:
            projection.mul_(LARGER)
        broken = loss(counting, {})
        alike, growing = tried(counting, COLLAPSED, VANISHING)
    assert broken > sound + 0.3
    assert alike.helps is True
    assert alike.effect == pytest.approx(sound - broken, abs=0.2 * (broken - sound))
    assert {(each.block, each.sublayer) for each in alike.scaled} == {(2, "attention"), (4, "attention")}
    assert all(0.5 < each.factor * LARGER < 2 for each in alike.scaled)
    assert (alike.metric, growing.metric) == (ALIKE, GROWTH)
    assert alike.change_high < -0.5
    assert growing.change_low > 0 > growing.before
    (told,) = with_remedies([COLLAPSED], [alike], (), None)
    assert "attention of block 2 by 0.0" in (told.remedy or "")
    assert "it helps" in (told.remedy or "")


def test_a_sound_model_is_not_touched(counting: LoadedModel) -> None:
    """Without such a finding nothing is tried; with one the harm is said, and no branch stands out."""
    assert tried(counting) == ()
    assert tried(counting, replace(COLLAPSED, severity="info"), finding("dead_head", 0, 0)) == ()
    sizes = {Branch(n, kind): 1.0 + 0.1 * n for n in range(BLOCKS) for kind in ("attention", "mlp")}
    single = [each.of for each in scalings(sizes) if each.factor is None]
    assert all(len(of) == BLOCKS and len(set(of.values())) == 1 for of in single)
    assert scalings({}) == []


def test_attention_that_is_too_large_everywhere_is_scaled_in_all_blocks(counting: LoadedModel) -> None:
    """No block stands out from the others then."""
    blocks: Any = counting.model
    projections = [block.attn.c_proj.weight for block in blocks.transformer.h]
    with changed(*projections):
        for projection in projections:
            projection.mul_(LARGER)
        (remedy,) = tried(counting, COLLAPSED)
    assert remedy.helps is True
    assert {each.sublayer for each in remedy.scaled} == {"attention"}
    assert len(remedy.scaled) == BLOCKS
    (told,) = with_remedies([COLLAPSED], [remedy], (), None)
    assert f"in {BLOCKS} blocks" in (told.remedy or "")


def test_harm_is_said(counting: LoadedModel) -> None:
    """A trained model need not gain from what would have helped before training."""
    (remedy,) = tried(counting, COLLAPSED)
    harmed = replace(remedy, effect=0.2, low=0.1, high=0.3, helps=False)
    (told,) = with_remedies([COLLAPSED], [harmed], (), None)
    assert "it does harm" in (told.remedy or "")


def test_scaling_what_is_added_is_scaling_the_projection(counting: LoadedModel) -> None:
    """In the loss, and in the gradients that reach the first block."""
    (projection, *_), branch = planted(counting), Branch(2, "attention")
    within = loss(counting, {branch: 3.0})
    felt = _felt(counting, {branch: 3.0})
    with changed(projection):
        projection.mul_(3.0)
        assert loss(counting, {}) == pytest.approx(within, rel=1e-5)
        assert _felt(counting, {}) == pytest.approx(felt, rel=1e-4)
    assert _felt(counting, {}) != pytest.approx(felt, rel=1e-3)


def _felt(model: LoadedModel, scaling: dict[Branch, float]) -> float:
    measure: Any = objective(model, seed=0)
    return gradient_ratios(model.model, measure, [counting_texts(samples=1).batches[0]], scaling)[0]


def test_an_encoder_tries_nothing() -> None:
    """There is no loss to tell better from worse."""
    assert tried(loaded(tiny_model("bert", "masked"), "encoder"), COLLAPSED) == ()
