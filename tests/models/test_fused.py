"""Fused kernels show the same model as its own code does, and only where they do are they used."""

import pytest
import torch

from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import cut
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.models.observing import observe
from audit.results import Plan
from tests.architectures import tiny_model
from tests.models.likeness import assert_like_eager
from tests.models.watching import Kept, random_batch


@pytest.mark.parametrize("checkpoint", ["minilm", "smollm2", "bert_tiny"])
def test_every_number_of_a_real_model_is_that_of_the_eager_pass(
    checkpoint: str, request: pytest.FixtureRequest
) -> None:
    """Fused kernels measure what the model's own code shows."""
    loaded = load_model(open_checkpoint(request.getfixturevalue(checkpoint)))
    fed = cut(catalog.probes()["prose"], loaded, Plan(samples=2, batch_size=2, max_length=96))

    assert_like_eager(loaded.model, fed.batches[0], path="fused")


@pytest.mark.parametrize(
    ("model_type", "path"),
    [
        ("llama", "fused"),
        ("gpt2", "fused"),
        ("bert", "fused"),
        ("gemma2", "tiles"),
        ("gpt_oss", "tiles"),
        ("deepseek_v3", "tiles"),
        ("bloom", "eager"),
    ],
)
def test_soft_caps_and_sink_columns_keep_a_family_to_tiles_of_its_own_code(
    model_type: str, path: str
) -> None:
    """No fused kernel computes either, nor values of another width than the queries'; bloom offers no choice."""
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

    assert {layer.path for layer in survey(model)} == {"tiles"}


def test_no_layer_is_ever_whole_in_memory_while_it_is_only_summed() -> None:
    """Sums, sinks and rows come from tiles; a receiver that wants the pattern may still have it."""
    model = tiny_model("llama")
    kept = Kept()
    observe(model, random_batch(model), kept, layers=survey(model))
    observation = kept.attention[0]

    assert observation.sums.total.shape == observation.shape[:3]
    assert "whole" not in vars(observation)
    assert observation.pattern.shape == observation.shape
