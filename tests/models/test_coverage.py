"""Coverage says what can be observed, what cannot and why, and is in the order of the pass."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import NothingObserved
from audit.models.coverage import observed, survey
from tests.architectures import tiny_model
from tests.models.watching import watched_once


class Sums(nn.Module):
    """Attention of one head in place of BERT's, spelt without matrix products of queries, keys and values."""

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.own: Any = own

    def forward(self, x: Tensor, *_args: object, **_kwargs: object) -> tuple[Tensor, None]:
        return self.mixed(self.own.query(x), self.own.key(x), self.own.value(x)), None

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        pattern = (q[:, :, None] * k[:, None]).sum(-1).softmax(-1)
        return (pattern[..., None] * v[:, None]).sum(2)


def test_layers_are_numbered_in_order_of_execution() -> None:
    """Encoder before decoder, self before cross, block by block."""
    layers = survey(tiny_model("bart", "seq2seq"))

    assert [layer.index for layer in layers] == list(range(6))
    assert [(layer.stack, layer.kind, layer.block) for layer in layers] == [
        ("encoder", "self", 0),
        ("encoder", "self", 1),
        ("decoder", "self", 0),
        ("decoder", "cross", 0),
        ("decoder", "self", 1),
        ("decoder", "cross", 1),
    ]
    assert layers[3].name == "model.decoder.layers.0.encoder_attn"


def test_heads_and_key_value_heads_are_counted() -> None:
    """MHA, GQA and MQA."""
    counts = {name: survey(tiny_model(name, "causal"))[0] for name in ("gpt2", "llama", "falcon")}

    assert {name: (layer.heads, layer.kv_heads) for name, layer in counts.items()} == {
        "gpt2": (4, 4),
        "llama": (4, 2),
        "falcon": (4, 1),
    }


def test_a_model_without_a_pair_is_a_decoder_when_it_is_causal() -> None:
    """The same BERT is a decoder as a causal and an encoder as a masked language model."""
    assert {layer.stack for layer in survey(tiny_model("bert", "causal"))} == {"decoder"}
    assert {layer.stack for layer in survey(tiny_model("bert", "masked"))} == {"encoder"}


def test_blocks_with_another_mixer_are_listed_with_its_name() -> None:
    """qwen3_next: linear attention beside softmax attention; heads is 0 where there is no softmax."""
    layers = survey(tiny_model("qwen3_next"))
    others = [layer for layer in layers if layer.reason]

    assert [layer.block for layer in layers] == list(range(len(layers)))
    assert 0 < len(others) < len(layers)
    assert {layer.reason for layer in others} == {"no softmax attention: Qwen3NextGatedDeltaNet"}
    assert {layer.heads for layer in others} == {0}
    assert not any(layer.heads == 0 for layer in layers if layer.reason is None)


def test_shared_weights_are_as_many_layers_as_they_are_run() -> None:
    """ALBERT runs one block several times."""
    model = tiny_model("albert", "masked")
    layers = survey(model)

    assert len(layers) == model.config.num_hidden_layers
    assert [layer.block for layer in layers] == [0, 1]
    assert layers[1].name == f"{layers[0].name}@2"


def test_a_module_without_layer_idx_is_found() -> None:
    """DistilBERT numbers nothing itself."""
    assert len(survey(tiny_model("distilbert", "masked"))) == 2


@pytest.mark.parametrize("model_type", ["bigbird_pegasus", "led", "longt5", "pegasus_x"])
def test_block_sparse_attention_is_named_as_such(model_type: str) -> None:
    """The encoder cannot be observed, the decoder can."""
    layers = survey(tiny_model(model_type, "seq2seq"))

    assert {layer.reason for layer in layers if layer.stack == "decoder"} == {None}
    reasons = {layer.reason for layer in layers if layer.stack == "encoder"}
    assert reasons == {"block-sparse attention: its softmaxes do not cover all keys of a query at once"}
    assert [layer.stack for layer in layers].count("encoder") == 2
    assert {layer.heads for layer in layers} == {4}


def test_latents_that_read_tokens_cross_over() -> None:
    """Perceiver is no pair of stacks, and yet its queries are not its keys."""
    kinds = [layer.kind for layer in survey(tiny_model("perceiver", "masked"))]

    assert kinds == ["cross", "self", "self", "cross"]


def test_an_attention_that_insists_on_a_fused_kernel_is_taken_apart() -> None:
    """Also where no pattern would be computed otherwise."""

    class Fused(Sums):
        def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (x[:, None] for x in (q, k, v))
            return F.scaled_dot_product_attention(q, k, v)[:, 0]

    model = tiny_model("bert", "masked")
    attention = model.bert.encoder.layer[1].attention
    attention.self = Fused(attention.self)

    layers = survey(model)

    assert [layer.reason for layer in layers] == [None, None]
    assert layers[1].heads == 1


@pytest.mark.parametrize("model_type", ["mamba", "rwkv"])
def test_a_model_without_softmax_attention_is_refused_by_name(model_type: str) -> None:
    """There is nothing to audit."""
    with pytest.raises(NothingObserved, match=f"model type '{model_type}' computes no softmax attention"):
        survey(tiny_model(model_type))


def test_a_softmax_over_keys_whose_values_are_not_seen_is_no_silent_miss() -> None:
    """An attention that is spelt without products is listed, with the reason."""
    model = tiny_model("bert", "masked")
    attention = model.bert.encoder.layer[1].attention
    attention.self = Sums(attention.self)

    first, second = survey(model)

    assert first.reason is None
    assert second.reason == "a softmax over its keys was computed, but not seen to weight values"
    assert second.name == "bert.encoder.layer.1.attention.self"
    assert second.heads == 4


def test_the_survey_leaves_no_trace_in_the_random_state() -> None:
    """A seed set before the survey gives the same numbers after it."""
    model = tiny_model("bert", "masked")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    survey(model)

    assert torch.equal(expected, torch.rand(1))


def test_what_was_seen_is_observed_and_what_was_not_has_a_reason() -> None:
    """A reason that was known before stays."""
    plain = watched_once("bert", "masked").layers[0]
    layers = (plain, replace(plain, index=1), replace(plain, index=2, reason="block-sparse"))

    one, two, three = observed(layers, {0})

    assert (one.observed, one.path, one.reason) == (True, "fused", None)
    assert (two.observed, two.path, two.reason) == (False, None, "not reached in any pass")
    assert (three.observed, three.path, three.reason) == (False, None, "block-sparse")
