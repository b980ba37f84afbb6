"""The yardstick of rounding is that of bfloat16, and there is none where the model is no more precise."""

from pathlib import Path

import torch

from audit.interventions.effects import objective
from audit.interventions.rounding import rounding_effect
from audit.interventions.trials import Bench, tried, way_through
from audit.models.coverage import survey
from tests.interventions.subjects import opened, random_batches, text, tiny


def test_bfloat16_moves_an_encoder_a_little(minilm: Path) -> None:
    """More than nothing, far less than the spread of the texts."""
    model = opened(minilm)
    measure = objective(model, seed=0)
    assert not isinstance(measure, str)
    texts = [text(model, samples=16, length=24)]
    bench = Bench(model.model, survey(model.model), measure, {})
    samples = tried(bench, way_through(bench, texts[0].batches[0]), texts, []).samples
    found = rounding_effect(model.model, texts, measure, samples)
    assert found is not None
    assert 0.001 < found < 0.2


def test_a_model_in_bfloat16_has_no_such_yardstick() -> None:
    """It is rounded already."""
    subject = tiny("bert", "masked")
    model = type(subject.model)(subject.model.config).to(torch.bfloat16)
    texts = [random_batches(model, samples=4, length=9)]
    assert rounding_effect(model, texts, None, None) is None  # type: ignore[arg-type]
