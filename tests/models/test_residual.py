"""The residual stream is taken apart into what attention and MLP add."""

import pytest
import torch
from torch import Tensor

from tests.architectures import Task
from tests.models.watching import plain, watched_once

SEQUENTIAL: list[tuple[str, Task]] = [
    ("bloom", "causal"),
    ("gemma2", "causal"),
    ("gpt2", "causal"),
    ("granite", "causal"),
    ("llama", "causal"),
    ("mixtral", "causal"),
    ("opt", "causal"),
    ("qwen3_next", "causal"),
]
PARALLEL: list[tuple[str, Task]] = [
    (name, "causal") for name in ("cohere", "falcon", "gpt_neox", "gptj", "phi")
]


@pytest.mark.parametrize(("model_type", "task"), SEQUENTIAL)
def test_the_stream_of_a_pre_norm_block_is_the_sum_of_its_updates(model_type: str, task: Task) -> None:
    """With the attention it is what lies between, with the MLP what comes after."""
    watched = watched_once(model_type, task)

    assert watched.residual
    for seen in watched.residual:
        assert seen.between is not None
        assert seen.attention_update is not None
        assert seen.mlp_update is not None
        assert seen.opens_block
        torch.testing.assert_close(seen.before + seen.attention_update, seen.between)
        torch.testing.assert_close(seen.between + seen.mlp_update, seen.after)


@pytest.mark.parametrize(("model_type", "task"), PARALLEL)
def test_a_parallel_block_has_nothing_between_its_updates(model_type: str, task: Task) -> None:
    """Both are added to what was before, and make what comes after."""
    watched = watched_once(model_type, task)

    assert len(watched.residual) == len(watched.layers)
    for seen in watched.residual:
        assert seen.between is None
        assert seen.attention_update is not None
        assert seen.mlp_update is not None
        torch.testing.assert_close(seen.before + seen.attention_update + seen.mlp_update, seen.after)


def test_the_stream_of_a_post_norm_block_is_normed_after_each_update() -> None:
    """BERT: between = norm(before + attention), after = norm(between + MLP)."""
    watched = watched_once("bert", "masked")

    for block, seen in zip(watched.model.bert.encoder.layer, watched.residual, strict=True):
        assert seen.between is not None
        assert seen.attention_update is not None
        assert seen.mlp_update is not None
        between = block.attention.output.LayerNorm(seen.before + seen.attention_update)
        torch.testing.assert_close(between, seen.between)
        torch.testing.assert_close(block.output.LayerNorm(seen.between + seen.mlp_update), seen.after)


def test_the_parts_are_those_that_the_modules_return() -> None:
    """llama: the updates are the outputs of its attention and its MLP, the stream that of its blocks."""
    watched = watched_once("llama", "causal")
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> object:
        def hook(_module: object, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
            outputs[name] = output[0] if isinstance(output, tuple) else output

        return hook

    layers = watched.model.model.layers
    names = [f"{index}.{part}" for index in range(len(layers)) for part in ("self_attn", "mlp")]
    handles = [layers.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    plain(watched.model, watched.batch)
    for handle in handles:
        handle.remove()

    for index, seen in enumerate(watched.residual):
        assert seen.mlp_update is not None
        torch.testing.assert_close(outputs[f"{index}.self_attn"], seen.attention_update)
        torch.testing.assert_close(outputs[f"{index}.mlp"], seen.mlp_update)
    torch.testing.assert_close(watched.residual[0].after, watched.residual[1].before)


def test_a_block_with_two_attentions_is_opened_by_the_first() -> None:
    """T5: what lies between self- and cross-attention is what the second is added to."""
    watched = watched_once("t5", "seq2seq")
    decoder = [layer for layer in watched.layers if layer.stack == "decoder"][:2]
    own, cross = (watched.kept.residual[layer.index] for layer in decoder)

    assert (own.opens_block, cross.opens_block) == (True, False)
    assert own.between is not None
    torch.testing.assert_close(own.between, cross.before)
    assert own.mlp_update is cross.mlp_update or torch.equal(own.mlp_update, cross.mlp_update)  # type: ignore[arg-type]


def test_a_stream_with_time_first_is_turned() -> None:
    """XLNet keeps [token, batch, width]; observations have [batch, token, width]."""
    watched = watched_once("xlnet", "causal")

    assert watched.residual
    for seen in watched.residual:
        assert seen.before.shape[:2] == seen.after.shape[:2] == (2, 13)


def test_what_is_no_update_is_not_called_one() -> None:
    """MobileBERT adds the attention to a stream within its block: to the outer stream it adds only the block."""
    watched = watched_once("mobilebert", "masked")

    assert watched.attention
    assert not watched.residual


@pytest.mark.parametrize("model_type", ["albert", "rembert"])
def test_an_embedding_that_was_projected_is_the_stream_of_the_first_block(model_type: str) -> None:
    """Only what was computed within a block is an update to it."""
    watched = watched_once(model_type, "masked")

    assert [seen.layer for seen in watched.residual] == [layer.index for layer in watched.layers]
    for seen in watched.residual:
        assert seen.between is not None
        assert seen.mlp_update is not None
