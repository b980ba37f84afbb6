"""Remedies that need no training: a head planted too sharp is mended, a healthy model tries nothing."""

from dataclasses import replace

import pytest
import torch

from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import cut
from audit.interventions.ablation import cooled
from audit.interventions.fresh import fresh
from audit.interventions.remedies import remedies, with_remedies
from audit.models.attention import MASKED
from audit.models.coverage import survey
from audit.models.loading import LoadedModel, load_model
from audit.results import Plan, Remedy
from tests.architectures import tiny_model
from tests.interventions.copying import WIDTH, saved
from tests.interventions.subjects import changed, counting_texts, finding, loaded

SHARPER = 8.0
COLLAPSED = finding("entropy_collapse", 1, 0)


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(open_checkpoint(saved(tmp_path_factory.mktemp("copies"))))


def tried(model: LoadedModel, findings) -> tuple[Remedy, ...]:
    probe, plan = catalog.probes()["prose"], Plan(samples=16, max_length=128)
    used = cut(probe, model, plan)
    more = fresh(cut(probe, model, replace(plan, samples=32)), used)
    return remedies(
        findings,
        model,
        layers=survey(model.model),
        detection=[used],
        confirmation=[more],
        limit=None,
        seed=0,
    )


def test_a_head_whose_scores_were_multiplied_is_mended(copying: LoadedModel) -> None:
    """Scaling them down lowers the loss, surely, on texts on which nothing was chosen; and the head is less sharp."""
    attention = copying.model.transformer.h[1].attn.c_attn.weight
    with changed(attention):
        attention[:, :WIDTH] *= SHARPER
        (remedy,) = tried(copying, [COLLAPSED])
    assert remedy.helps is True
    assert remedy.high < 0
    assert remedy.factor < 1
    assert remedy.after > remedy.before
    assert remedy.change_low > 0
    (told,) = with_remedies([COLLAPSED], [remedy], (), None)
    assert told.remedy.startswith("tried: scores of the head scaled down to")
    assert "it helps" in told.remedy


def test_what_has_no_remedy_tries_nothing(copying: LoadedModel) -> None:
    """No finding, a remark, a finding of another rule: the model is not run, and the words stay as they are."""
    other = finding("dead_head", 0, 0)
    assert tried(copying, []) == ()
    assert tried(copying, [replace(COLLAPSED, severity="info"), other]) == ()
    assert with_remedies([other], (), (), None) == (other,)


def test_a_model_without_a_loss_tries_nothing() -> None:
    """What changes the output of an encoder is not known to be for the better."""
    encoder = loaded(tiny_model("bert", "masked"), "encoder")
    texts = [counting_texts(samples=16)]
    found = remedies(
        [COLLAPSED],
        encoder,
        layers=survey(encoder.model),
        detection=texts,
        confirmation=texts,
        limit=None,
        seed=0,
    )
    assert found == ()


def test_cooling_keeps_the_mask_and_softens_the_rest() -> None:
    """At 1 it is the softmax itself; masked keys get nothing at any factor."""
    scores = torch.tensor([[4.0, 0.0, MASKED * 2], [1.0, 2.0, 3.0]])
    assert torch.allclose(cooled(scores, 1.0), scores.softmax(-1))
    soft = cooled(scores, 0.25)
    assert float(soft[0, 2]) == 0.0
    assert soft[0, 0] == pytest.approx(torch.tensor([1.0, 0.0]).softmax(0)[0])
