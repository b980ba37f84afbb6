"""What is read from weights fits what is seen in a pass."""

import pytest
import torch

from audit.models.weights import nonfinite_tensors, weight_observations
from tests.architectures import Task, tiny_model
from tests.models.watching import watched_once


@pytest.mark.parametrize(
    ("model_type", "task"),
    [
        ("bart", "seq2seq"),
        ("bert", "masked"),
        ("deepseek_v3", "causal"),
        ("falcon", "causal"),
        ("fsmt", "seq2seq"),
        ("gpt2", "causal"),
        ("gptj", "causal"),
        ("llama", "causal"),
        ("t5", "seq2seq"),
    ],
)
def test_head_outputs_times_their_slices_are_the_attention_update(model_type: str, task: Task) -> None:
    """Up to a bias, the heads' updates add up to what the attention adds to the stream."""
    watched = watched_once(model_type, task)
    observations = list(weight_observations(watched.model, watched.layers))

    assert [seen.layer for seen in observations] == [layer.index for layer in watched.layers]
    for weights, attention, residual in zip(observations, watched.attention, watched.residual, strict=True):
        assert weights.output is not None
        assert attention.head_output is not None
        assert residual.attention_update is not None
        update = torch.einsum("bhqv,hvw->bqw", attention.head_output, weights.output)
        bias = (residual.attention_update - update)[:, :1]
        torch.testing.assert_close(update + bias, residual.attention_update, atol=1e-6, rtol=1e-4)


def test_a_gate_before_the_projection_does_not_hide_it() -> None:
    """qwen3_next scales its head outputs by a sigmoid: the slices still belong to the heads."""
    watched = watched_once("qwen3_next", "causal")
    (seen,) = weight_observations(watched.model, watched.layers)

    assert seen.output is not None
    assert seen.output.shape[0] == 4


def test_a_projection_of_mixed_heads_is_not_sliced() -> None:
    """DiffLlama subtracts head outputs from each other before W_O."""
    watched = watched_once("diffllama", "causal")

    assert {seen.output for seen in weight_observations(watched.model, watched.layers)} == {None}


def test_nonfinite_tensors_are_named_and_counted() -> None:
    """NaN and infinity alike; a finite model has none."""
    model = tiny_model("bert", "masked")
    assert nonfinite_tensors(model) == ()

    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[0, :2] = torch.tensor([float("nan"), float("inf")])
        model.bert.encoder.layer[1].output.dense.bias[3] = float("-inf")

    assert nonfinite_tensors(model) == (
        ("bert.encoder.layer.0.output.dense.weight", 2),
        ("bert.encoder.layer.1.output.dense.bias", 1),
    )
