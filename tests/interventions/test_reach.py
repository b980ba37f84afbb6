"""How far back a model uses what it has read: a planted one that forgets, its healthy twin, and a real one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.definitions import NotApplicable, NotMeasured
from audit.feeding import cut
from audit.interventions.reach import position_decay, reach
from audit.models.loading import LoadedModel, load_model
from audit.results import Plan
from audit.results.reach import PositionDecay, Reach
from audit.rules.long_range_forgetting import RULE
from tests.architectures import tiny_model
from tests.interventions.copying import POSITIONS, copying_model, saved
from tests.interventions.subjects import loaded, opened
from tests.rules.cases import case, subject

FULL = Plan(depth="full", samples=16)
FORGETS = 120.0  # weight of the likeness of positions in the scores


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(open_checkpoint(saved(tmp_path_factory.mktemp("copies"))))


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(open_checkpoint(saved(tmp_path_factory.mktemp("forgets"), forgets=FORGETS)))


def measured(model: LoadedModel, probe: str = "long") -> Reach:
    return reach(model, cut(catalog.probes()[probe], model, FULL), seed=0)


def judged(found: Reach):
    return RULE.judge(replace(case(RULE.name, {}), reach=found))


def test_a_model_planted_to_forget_is_caught(forgetful: LoadedModel) -> None:
    """It copies from 16 tokens back and not from 64, in windows as long as its positions; and that is confirmed."""
    found = measured(forgetful)
    (said,) = judged(found)
    assert (found.window, found.decay.scheme) == (POSITIONS, "sinusoidal table")
    assert "stood 64 tokens before" in said.statement
    assert said.confirmation.status == "confirmed"
    assert "sinusoidal positions" in said.cause


def test_its_twin_that_uses_far_context_is_not(healthy: LoadedModel) -> None:
    """The same weights without the likeness of positions in the scores."""
    found = measured(healthy)
    assert judged(found) == ()
    assert found.repeats[-1].low > 0.3 * found.repeats[0].gain


def test_the_twins_differ_in_those_channels_alone(healthy: LoadedModel, forgetful: LoadedModel) -> None:
    """Nothing else makes the one forget."""
    pairs = zip(healthy.model.named_parameters(), forgetful.model.named_parameters(), strict=True)
    assert [a for (a, one), (_, two) in pairs if not torch.equal(one, two)] == [
        "transformer.h.1.attn.c_attn.weight"
    ]


def test_a_real_model_is_not_flagged(smollm2_gguf: Path) -> None:
    """SmolLM2 in windows of 128 tokens; over 512 it took as much of a repeated passage (0.7 of it, see the policy)."""
    found = measured(opened(smollm2_gguf), "prose")
    assert judged(found) == ()
    assert found.repeats[-1].low > 0.3 * found.repeats[0].gain
    assert (found.decay.scheme, found.decay.base, found.decay.turns) == ("rotary", 100_000.0, 3616)


def test_more_text_that_harms_is_told(forgetful: LoadedModel) -> None:
    """The loss is surely higher with all of the context than with less."""
    found = measured(forgetful)
    worse = replace(found.kept[-2], effect=-0.5, low=-0.6, high=-0.4)
    said = judged(replace(found, kept=(*found.kept[:-2], worse, found.kept[-1])))
    assert [each.about for each in said] == [None, "harm"]


def test_texts_that_do_use_far_context_excuse_a_model_that_does_not_copy_far(forgetful: LoadedModel) -> None:
    """Both experiments must agree."""
    found = measured(forgetful)
    used = tuple(replace(kept, effect=0.5, low=0.4, high=0.6) for kept in found.kept[:-1])
    assert judged(replace(found, kept=(*used, found.kept[-1]))) == ()


def test_a_model_that_does_not_copy_at_all_cannot_be_told_to_forget(forgetful: LoadedModel) -> None:
    """What it lacks is not memory."""
    found = measured(forgetful)
    flat = tuple(replace(each, gain=0.0, low=-0.01, high=0.01) for each in found.repeats)
    assert isinstance(judged(replace(found, repeats=flat)), NotMeasured)


def test_short_texts_other_models_and_other_depths_say_why(healthy: LoadedModel) -> None:
    """Nothing is claimed where there is no far context, no loss of the next token, or no measurement."""
    probe = catalog.probes()["prose"]
    short = reach(healthy, cut(probe, healthy, Plan(samples=16, max_length=64)), seed=0)
    assert short.absent == "windows of 64 tokens have no far context: 128 are the least"
    assert isinstance(judged(short), NotApplicable)
    encoder = loaded(tiny_model("bert", "masked"), "masked")
    assert (
        reach(encoder, None, seed=0).absent
        == "the model does not predict the next token from the text before it"
    )
    assert isinstance(RULE.judge(case(RULE.name, {}, of=subject(task="masked"))), NotApplicable)
    assert isinstance(RULE.judge(case(RULE.name, {})), NotMeasured)


def test_a_rotary_base_too_small_for_its_length_is_told() -> None:
    """Men et al. put the least base for 4,096 tokens near 27,000 (64 pairs): 10,000 turns before, 100,000 does not."""
    model = tiny_model("llama", "causal")
    model.config.max_position_embeddings = 4096

    def turned(base: float) -> PositionDecay:
        rotary = next(m for m in model.modules() if hasattr(m, "inv_freq"))
        rotary.inv_freq = base ** (-torch.arange(64) / 64)
        return position_decay(model)

    assert turned(100_000.0).turns is None
    early = turned(10_000.0)
    assert early.turns is not None
    assert early.turns < 4096


def test_a_learned_table_is_not_taken_for_sinusoids() -> None:
    """Likeness by distance alone is what sinusoids have and drawn rows have not."""
    model = copying_model(torch.ones(8), forgets=0.0)
    assert position_decay(model).scheme == "sinusoidal table"
    torch.nn.init.normal_(model.transformer.wpe.weight)
    assert position_decay(model).scheme == "learned table"
