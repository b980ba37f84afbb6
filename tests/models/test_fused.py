"""Fused kernels show the same model as its own code does, and only where they do are they used."""

import numpy as np
import pytest
import torch

from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.definitions import Metric
from audit.feeding import cut
from audit.measure import Recorder
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.models.observing import observe
from audit.results import Plan
from audit.results.subject import LayerCoverage
from tests.architectures import tiny_model
from tests.models.watching import Kept, random_batch

SIDES = {"sigma_1", "sigma_2", "spectral_gap", "stable_rank", "attention_rank"}


@pytest.mark.parametrize("checkpoint", ["minilm", "smollm2", "bert_tiny"])
def test_every_number_of_a_real_model_is_that_of_the_eager_pass(
    checkpoint: str, request: pytest.FixtureRequest
) -> None:
    """Per sample and head: entropies and masses within 1e-4 or 2e-6, spectra within 1e-3 of the layer's largest."""
    loaded = load_model(open_checkpoint(request.getfixturevalue(checkpoint)))
    fed = cut(catalog.probes()["prose"], loaded, Plan(samples=2, batch_size=2, max_length=96))
    fused = survey(loaded.model)
    assert {layer.path for layer in fused} == {"fused"}
    eager = tuple(LayerCoverage(**(_fields(layer) | {"path": "eager"})) for layer in fused)
    metrics = [
        m
        for m in catalog.metrics().values()
        if isinstance(m, Metric) and m.observes in ("attention", "residual")
    ]
    found, expected = (Recorder(metrics, layers, 2) for layers in (fused, eager))
    for recorder, layers in ((found, fused), (expected, eager)):
        recorder.begin(fed.batches[0])
        observe(loaded.model, fed.batches[0], recorder, layers=layers)

    for metric in metrics:
        one, other = found.values[metric.name], expected.values[metric.name]
        within = 1e-3 if metric.spectral or metric.name in SIDES else 1e-4
        size = np.nanmax(np.abs(other), initial=0.0) if metric.spectral else 0.0
        np.testing.assert_allclose(
            one, other, rtol=within, atol=max(5e-6, 1e-3 * size), equal_nan=True, err_msg=metric.name
        )


def _fields(layer: LayerCoverage) -> dict[str, object]:
    return {name: getattr(layer, name) for name in layer.__dataclass_fields__}


@pytest.mark.parametrize(
    ("model_type", "path"),
    [
        ("llama", "fused"),
        ("gpt2", "fused"),
        ("bert", "fused"),
        ("gemma2", "eager"),
        ("gpt_oss", "eager"),
        ("deepseek_v3", "eager"),
    ],
)
def test_soft_caps_and_sink_columns_keep_a_family_to_its_own_code(model_type: str, path: str) -> None:
    """No fused kernel computes either, nor values of another width than the queries'."""
    task = "masked" if model_type == "bert" else "causal"
    assert {layer.path for layer in survey(tiny_model(model_type, task))} == {path}  # type: ignore[arg-type]


def test_a_kernel_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The survey compares head outputs: a scale that the kernel does not take would be seen."""
    model = tiny_model("llama")
    true = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, **more: true(*args, **(more | {"scale": 0.5})),
    )

    assert {layer.path for layer in survey(model)} == {"eager"}


def test_no_layer_is_ever_whole_in_memory_while_it_is_only_summed() -> None:
    """Sums, sinks and rows come from tiles; a receiver that wants the pattern may still have it."""
    model = tiny_model("llama")
    kept = Kept()
    observe(model, random_batch(model), kept, layers=survey(model))
    observation = kept.attention[0]

    assert observation.sums.total.shape == observation.shape[:3]
    assert "whole" not in vars(observation)
    assert observation.pattern.shape == observation.shape
