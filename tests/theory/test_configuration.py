"""From config.json to the theory: what is read, what is assumed, and what transformers really draws."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from audit.errors import UnusableInput
from audit.theory.configuration import Reading, from_config
from audit.theory.families import FAMILIES
from audit.theory.propagation import propagate
from audit.theory.rows import Overlapping, rows_of
from audit.theory.states import dials, start
from tests.simulation import similarity
from tests.theory.configurations import BERT, GPT2, LLAMA
from tests.theory.stacks import plain

_SMALL = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "initializer_range": 0.08,
}
_GPT = {"n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 512, "initializer_range": 0.08}
_DRAWN: dict[str, dict[str, Any]] = {
    "bert": _SMALL,
    "bloom": {"hidden_size": 256, "n_layer": 4, "n_head": 4, "initializer_range": 0.08},
    "distilbert": {"dim": 256, "n_layers": 4, "n_heads": 4, "hidden_dim": 512, "initializer_range": 0.08},
    "falcon": {k: v for k, v in _SMALL.items() if k != "intermediate_size"},
    "gemma2": {**_SMALL, "head_dim": 64, "num_key_value_heads": 2},
    "gpt2": _GPT,
    "granite": {
        **_SMALL,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.1,
        "embedding_multiplier": 3.0,
    },
    "llama": _SMALL,
    "modernbert": {**_SMALL, "global_attn_every_n_layers": 1, "pad_token_id": 0},
    "olmo2": _SMALL,
    "opt": {
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "ffn_dim": 512,
        "init_std": 0.08,
        "word_embed_proj_dim": 256,
    },
    "qwen3": {**_SMALL, "head_dim": 64, "num_key_value_heads": 2},
    "t5": {"d_model": 256, "num_layers": 4, "num_heads": 4, "d_kv": 64, "d_ff": 512},
}


def _drawn(model_type: str, sizes: dict[str, Any], reading: Reading, seed: int) -> list[float]:
    torch.manual_seed(seed)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, vocab_size=4000, **sizes)).eval()
    model = model.get_encoder() if model_type == "t5" else model
    words = torch.randperm(3990)[None, :256] + 5
    with torch.inference_mode():
        states = model(input_ids=words, output_hidden_states=True).hidden_states
    return [similarity(h[0], causal=reading.architecture.causal) for h in states[:-1]]


@pytest.fixture(scope="module")
def rows() -> dict[bool, Overlapping]:
    """Rows of 256 keys without and with a causal mask."""
    return {masked: rows_of(plain(causal=masked)) for masked in (False, True)}


@pytest.mark.parametrize("model_type", _DRAWN)
def test_theory_meets_what_transformers_initialises(model_type: str, rows: dict[bool, Overlapping]):
    """Similarity in freshly drawn models of the library, every layer, within the tolerance."""
    config = AutoConfig.for_model(model_type, vocab_size=4000, **_DRAWN[model_type]).to_dict()
    reading = from_config(config, tokens=256)
    gains, first = dials(reading.architecture, reading.initialisation), start(reading.initialisation)
    overlaps = rows[reading.architecture.causal]
    expected = propagate(reading.architecture, gains, first, overlaps).similarity[:-1]
    drawn = np.mean([_drawn(model_type, _DRAWN[model_type], reading, seed) for seed in range(3)], axis=0)
    assert np.abs(expected - drawn).max() < 0.06


def test_bert_is_read_in_full():
    """Post-LN, token types common to all tokens, nothing missing, nothing doubtful."""
    reading = from_config(BERT)
    assert (reading.architecture.placement, reading.architecture.causal) == ("post", False)
    assert reading.initialisation.similarity == pytest.approx(1 / 3)
    assert reading.initialisation.q0 == pytest.approx(1.0, rel=1e-6)  # a norm follows the embeddings
    assert reading.initialisation.sd_output == 0.02
    assert not reading.missing
    assert not reading.assumptions


def test_gpt2_draws_its_residual_projections_smaller_unless_told_otherwise():
    """The sd is divided by sqrt(2L) by default, as in the library; an option takes it away or gives it to others."""
    assert from_config(GPT2).initialisation.sd_output == pytest.approx(0.02 / math.sqrt(24))
    assert from_config(GPT2, residual_scaling=False).initialisation.sd_output == 0.02
    assert from_config(BERT, residual_scaling=True).initialisation.sd_mlp_out == pytest.approx(
        0.02 / math.sqrt(24)
    )
    assert from_config(GPT2).initialisation.q0 == pytest.approx(2 * 0.02**2)


def test_missing_fields_are_named_with_what_stands_in():
    """The reader learns what was assumed and why."""
    reading = from_config(
        {k: v for k, v in LLAMA.items() if k not in {"initializer_range", "intermediate_size"}}
    )
    assert any(line.startswith("initializer_range: 0.02 assumed") for line in reading.missing)
    assert any(line.startswith("intermediate_size: 2304 assumed") for line in reading.missing)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, "no 'hidden_size'"),
        ({"hidden_size": -768}, "hidden_size is -768"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": 770}, "770 is no multiple"),
        ({"num_key_value_heads": 0}, "num_key_value_heads"),
        ({"num_key_value_heads": 5}, "no multiple of num_key_value_heads 5"),
        ({"hidden_size": 10**12}, "from 1 to 1,000,000,000"),
        ({"num_hidden_layers": "12"}, "num_hidden_layers is '12'"),
        ({"num_hidden_layers": 10**8}, "depth is 100000000"),
        ({"initializer_range": 0}, "initializer_range is 0 "),
        ({"initializer_range": math.nan}, "initializer_range is nan"),
        ({"initializer_range": 1e6}, "initializer_range is 1000000.0"),
        ({"layer_norm_eps": "small"}, "norm_eps is 'small'"),
        ({"scale_attn_weights": "yes"}, "scale_attn_weights is 'yes'"),
    ],
)
def test_absurd_configurations_are_refused_by_name(changes: dict[str, Any], message: str):
    """One line: the field, what stands there, what is needed."""
    with pytest.raises(UnusableInput, match=message):
        from_config({k: v for k, v in (BERT | changes).items() if v is not None})


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_similarity_outside_its_range_is_refused(value: float):
    """A cosine on entry lies from 0 to 1."""
    with pytest.raises(UnusableInput, match="similarity is"):
        from_config(BERT, similarity=value)


def test_measured_similarity_replaces_the_assumed_one():
    """And the remark about unlike tokens goes away."""
    assert from_config(BERT, similarity=0.7).initialisation.similarity == pytest.approx(0.7)
    assert any("all different" in line for line in from_config(BERT).remarks)
    assert not from_config(BERT, similarity=0.7).remarks


def test_length_is_cut_to_the_positions_there_are():
    """A model of 512 positions is judged at 512 tokens at most, and the report says so."""
    reading = from_config(BERT, tokens=4096)
    assert reading.architecture.tokens == 512
    assert any("512 positions" in line for line in reading.remarks)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model_type": "novel"}, "'novel' is not among the known families"),
        ({"model_type": "albert"}, "share one set"),
        ({"model_type": "gptj"}, "parallel"),
        (
            {"num_experts": 8, "moe_intermediate_size": 256},
            "mixture of experts: one dense MLP as wide as one expert",
        ),
        ({"kv_lora_rank": 64, "q_lora_rank": 128, "qk_rope_head_dim": 32}, "latent attention"),
        ({"scale_attn_by_inverse_layer_idx": True}, "divided by the layer number"),
        ({"use_qk_norm": True}, "normalised queries"),
        (
            {"layer_types": ["linear_attention"] * 9 + ["full_attention"] * 3},
            "9 of 12 layers are linear_attention",
        ),
        ({"attn_layer_period": 8}, "one layer in 8 is softmax attention"),
        ({"sliding_window": 128}, "a window of 128 keys"),
    ],
)
def test_what_the_theory_does_not_cover_is_answered_by_the_nearest(changes: dict[str, Any], word: str):
    """The failing assumption is named; there is an answer all the same."""
    reading = from_config(BERT | changes)
    assert any(word in line for line in reading.assumptions)


@pytest.mark.parametrize("model_type", ["mamba", "rwkv", "fnet"])
def test_what_has_no_softmax_has_no_answer(model_type: str):
    """Refused by name; and a window as long as the sequence, or switched off, is no window."""
    with pytest.raises(UnusableInput, match="no softmax attention"):
        from_config(BERT | {"model_type": model_type})
    assert not from_config(BERT | {"sliding_window": 4096}).assumptions
    assert not from_config(BERT | {"sliding_window": 128, "use_sliding_window": False}).assumptions


def test_of_two_stacks_the_encoder_is_looked_at():
    """And the reader is told so."""
    assert any(
        "only the encoder" in line for line in from_config(BERT | {"is_encoder_decoder": True}).remarks
    )


def test_experts_and_latent_keys_change_the_sizes():
    """One expert's width; keys drawn from the latent rank."""
    mixed = from_config(LLAMA | {"num_local_experts": 8, "moe_intermediate_size": 256})
    assert mixed.architecture.mlp_width == 256
    latent = from_config(LLAMA | {"kv_lora_rank": 64, "v_head_dim": 32})
    assert latent.architecture.head_dim == 32
    assert latent.initialisation.sd_value == pytest.approx(0.02 * math.sqrt(64 / 576))


def test_configurations_override_their_family():
    """OPT-350m is post-LN, GPT-NeoX may be sequential, BERT may be a decoder, T5 may be gated."""
    opt = {"model_type": "opt", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    assert from_config(opt | {"do_layer_norm_before": False}).architecture.placement == "post"
    assert from_config(opt).architecture.placement == "pre"
    assert not from_config(
        opt | {"model_type": "gpt_neox", "use_parallel_residual": False}
    ).architecture.parallel
    assert from_config(BERT | {"is_decoder": True}).architecture.causal
    t5 = {"model_type": "t5", "d_model": 64, "num_layers": 2, "num_heads": 2, "d_kv": 32, "d_ff": 128}
    assert from_config(t5 | {"feed_forward_proj": "gated-gelu"}).architecture.gated


def test_text_part_of_a_larger_model_is_taken():
    """A vision-language configuration nests it."""
    reading = from_config({"model_type": "llava", "text_config": LLAMA})
    assert reading.architecture.depth == 30
    assert any("text_config" in line for line in reading.remarks)


def test_score_scale_is_read_where_a_family_sets_it():
    """Gemma's scalar, Granite's multiplier, GPT-Neo's and GPT-2's missing one."""
    assert from_config(LLAMA | {"query_pre_attn_scalar": 256}).architecture.score_scale == 1 / 16
    assert from_config(LLAMA | {"attention_multiplier": 0.1}).architecture.score_scale == 0.1
    assert from_config(GPT2 | {"scale_attn_weights": False}).architecture.score_scale == 1.0
    assert from_config(GPT2 | {"model_type": "gpt_neo"}).architecture.score_scale == 1.0
    assert from_config(LLAMA).architecture.score_scale is None


def test_unknown_activation_is_taken_as_gelu_and_said():
    """Named among what was assumed."""
    assert any("'xielu'" in line for line in from_config(LLAMA | {"hidden_act": "xielu"}).missing)


def test_nothing_common_enters_without_token_types():
    """RoBERTa with type_vocab_size 0 has unlike tokens; MPT writes its width as a ratio."""
    assert from_config(BERT | {"type_vocab_size": 0}).initialisation.similarity == 0.0
    mpt = {"model_type": "mpt", "d_model": 64, "n_layers": 2, "n_heads": 2, "expansion_ratio": 3}
    assert from_config(mpt).architecture.mlp_width == 192


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_every_known_family_can_be_read(model_type: str):
    """No family needs a field of its own."""
    assert from_config(BERT | {"model_type": model_type}).architecture.depth == 12
