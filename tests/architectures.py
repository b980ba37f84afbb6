"""Tiny random models of every causal, masked and seq2seq language-model type that transformers knows."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, cast

import torch
import transformers
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto import modeling_auto

Task = Literal["seq2seq", "causal", "masked"]

VOCABULARY = 128
FIRST_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}

AUTO: dict[Task, Any] = {
    "seq2seq": AutoModelForSeq2SeqLM,
    "causal": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
}
NAMES: dict[Task, Mapping[str, str]] = {
    "seq2seq": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "masked": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
}

_CAPPED: dict[int, str] = {
    VOCABULARY: """
        audio_vocab_size char_vocab_size entity_vocab_size pronunciation_vocab_size shape_vocab_size
        src_vocab_size t2u_vocab_size tgt_vocab_size vocab_size vocab_size_per_layer_input
    """,
    512: """
        max_decoder_position_embeddings max_encoder_position_embeddings max_position_embeddings max_seq_len
        max_source_positions n_ctx n_positions original_max_position_embeddings rel_extent
    """,
    64: """
        adapter_in_dim adapter_input_size adapter_out_dim backbone_hidden_size d_ff d_inner d_model
        decoder_ffn_dim dense_intermediate_size dff dim dim_ff emb_dim embedding_dim embedding_size
        encoder_ffn_dim expert_ffn_hidden_size feed_forward_size ffn_dim ffn_hidden_size hidden_dim
        hidden_size hidden_size_global image_size index_block_size input_embedding_size intermediate_size
        intermediate_size_mlp moe_intermediate_size moe_shared_expert_intermediate_size n_embd num_mel_bins
        out_hidden_size output_dim output_embedding_size prediction_head_size router_hidden_size
        shared_expert_intermediate_size shared_experts_intermediate_size shared_intermediate_size
    """,
    32: """
        adapter_rank embedding_rank entity_emb_size hidden_size_per_layer_input kv_lora_rank laurel_rank
        mamba_head_dim o_lora_rank pronunciation_embed_dim q_lora_rank shape_embed_dim
    """,
    16: """
        attention_head_size d_head d_kv dim_head downsample_hidden_size head_dim index_head_dim kv_channels
        linear_head_dim linear_key_head_dim linear_value_head_dim mamba_d_state max_num_columns max_num_rows
        num_position_embeddings prompt_length prompt_types qk_nope_head_dim ssm_state_size state_size
        swa_head_dim v_head_dim
    """,
    8: """
        attention_chunk_size attention_window attention_window_size block_size chunk_size index_topk
        local_attention local_radius mamba_chunk_size patch_size qk_rope_head_dim rotary_dim sliding_window
        sliding_window_size window_size
    """,
    4: """
        attention_heads decoder_attention_heads encoder_attention_heads index_n_heads linear_num_heads
        linear_num_value_heads mamba_n_heads mamba_num_heads moe_num_experts n_head n_heads n_routed_experts
        num_attention_heads num_cross_attention_heads num_decoder_attention_heads
        num_encoder_attention_heads num_experts num_global_tokens num_heads num_local_experts
        num_self_attention_heads swa_num_attention_heads zero_expert_num
    """,
    2: """
        decoder_layers depth encoder_layers linear_num_key_heads moe_k moe_topk n_group n_groups n_layer
        n_layers num_blocks num_decoder_layers num_encoder_layers num_experts_per_tok num_hidden_layers
        num_key_value_heads num_layers speech_encoder_layers swa_num_key_value_heads t2u_decoder_layers
        t2u_encoder_layers
    """,
    1: """
        first_k_dense_replace moe_num_shared_experts n_shared_experts num_dense_layers num_shared_experts
        topk_group
    """,
}
CAPS: dict[str, int] = {name: cap for cap, names in _CAPPED.items() for name in names.split()}

_DEBERTA: dict[str, Any] = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
_GEMMA4_TEXT = {"global_head_dim": 32}
_DOTS3_TEXT = {
    "sliding_window": 8,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 4,
    "swa_q_lora_rank": 32,
    "swa_kv_lora_rank": 32,
    "swa_head_dim": 24,
    "swa_qk_nope_head_dim": 16,
    "swa_v_head_dim": 16,
}
_QWEN4_TEXT = {
    "hc_lowrank": 16,
    "ple_layer_ids": [1],
    "eos_token_id": 2,
    "ngram_vocab_size_base": 64,
    "heads_per_ngram": 2,
    "split_ngram_parts": 2,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
}
_UNGROUPED = {"num_key_value_heads": 4}
_VIBEVOICE_TOKENIZER = {"num_filters": 2, "downsampling_ratios": [2, 4], "depths": [1, 1, 1]}

OVERRIDES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    # Block-sparse from 8 tokens on: up to (5 + 2 * num_random_blocks) * block_size it falls back to full.
    "big_bird": {"block_size": 1, "num_random_blocks": 1},
    "bigbird_pegasus": {"block_size": 1, "num_random_blocks": 1},
    # BltConfig has no `num_hidden_layers`, which a cache asks for.
    "blt": {"use_cache": False, "encoder_hash_byte_group_vocab": 64, "local_attention_window_len": 8},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
            "full_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
        },
    },
    # Checkpoints carry `rope_theta`; the configuration class does not declare it.
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "deberta": _DEBERTA,
    "deberta-v2": _DEBERTA | {"position_buckets": 16, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "deepseek_v4": {
        "layer_types": ["sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention"],
        "mlp_layer_types": ["hash_moe", "moe", "moe"],
        "num_hidden_layers": 3,
        "compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 4},
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note": {"text_config": _DOTS3_TEXT},
    "dots3_note_text": _DOTS3_TEXT,
    "esm": {
        "vocab_size": VOCABULARY,
        "pad_token_id": 1,
        "mask_token_id": 100,
        "position_embedding_type": "rotary",
        "token_dropout": True,
    },
    "esmc": {"num_key_value_heads": 4},
    "falcon_h1": {"mamba_d_ssm": 128},
    "funnel": {"block_sizes": [1, 1]},
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
    },
    "gemma4": {"text_config": _GEMMA4_TEXT},
    "gemma4_text": _GEMMA4_TEXT,
    "gemma4_unified": {"text_config": _GEMMA4_TEXT},
    "gemma4_unified_text": _GEMMA4_TEXT,
    "glm_moe_dsa": {"indexer_types": ["full", "shared"]},
    "got_ocr2": {"vision_config": {"mlp_dim": 64, "output_channels": 16, "global_attn_indexes": [1]}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "hy_v4": {
        "num_hidden_layers": 3,
        "layer_types": ["indexed_attention"] * 3,
        "mlp_layer_types": ["dense", "sparse", "sparse"],
    },
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "laguna": {"layer_types": ["full_attention", "sliding_attention"]},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"head_dim": 8},
    "mamba2": {"head_dim": 32},
    "mellum": {"layer_types": ["full_attention", "sliding_attention"]},
    "minimax_m3_vl_text": {
        "layer_types": ["full_attention", "minimax_m3_sparse"],
        "mlp_layer_types": ["dense", "sparse"],
        "index_block_size": 2,
        "index_topk_blocks": 2,
    },
    "ministral": {"head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]},
    "mllama": {"text_config": {"num_hidden_layers": 3, "cross_attention_layers": [1]}},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32},
    # The checkpoint holds query, key and value of the audio encoders as one matrix of three equal parts.
    "nemo_speechlm": {
        "text_config": {"hybrid_override_pattern": "M*E"},
        "word_timestamp_config": _UNGROUPED,
        "audio_config": {
            "asr_config": _UNGROUPED,
            "diarization_config": {
                "audio_config": _UNGROUPED,
                "head_config": {"audio_hidden_size": 64},
            },
        },
    },
    "nllb-moe": {"encoder_sparse_step": 2, "decoder_sparse_step": 2},
    "perceiver": {"num_latents": 16, "d_latents": 64, "num_self_attends_per_block": 2},
    "phi4_multimodal": {
        "audio_config": {
            "ext_pw_out_channel": 64,
            "depthwise_separable_out_channel": 64,
            "nemo_conv_channels": 64,
        }
    },
    "qwen4_exp": {"text_config": _QWEN4_TEXT},
    "qwen4_exp_text": _QWEN4_TEXT,
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [32, 16],
        "axial_pos_embds_dim": [32, 32],
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "num_buckets": 4,
        "hash_seed": 0,
    },
    "vibevoice_asr": {
        "acoustic_tokenizer_encoder_config": _VIBEVOICE_TOKENIZER,
        "semantic_tokenizer_encoder_config": _VIBEVOICE_TOKENIZER,
    },
    "xlstm": {"qk_dim_factor": 1.0},
    "xmod": {"default_language": "en_XX"},
    # The shared block is a tied weight, and a tie needs a second place.
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zaya": {"layer_types": ["hybrid", "hybrid_sliding"], "sliding_window": 8},
}

# The class that is mapped takes the configuration of the decoder alone.
DECODER_ONLY = frozenset({"musicgen", "musicgen_melody"})

_ALL_BORROWED = (
    "a drafter, every layer of which borrows keys and values of the model it drafts for: `kv_sharing_modes` "
    "of its text configuration raises ValueError when no layer owns any"
)
UNBUILDABLE: dict[str, str] = {
    "gemma3n": "its vision tower is a timm model, and timm is not installed",
    "gemma4_assistant": _ALL_BORROWED,
    "gemma4_unified_assistant": _ALL_BORROWED,
}
_NOT_MAPPED = "is saved as its decoder's configuration, a type that AutoModelForCausalLM does not map"
RELOAD_FAILS: dict[str, str] = {
    "emu3": f"{_NOT_MAPPED} (emu3_text_model); Emu3ForCausalLM reloads it",
    "mllama": f"{_NOT_MAPPED} (mllama_text_model); MllamaForCausalLM reloads it",
    "musicgen": f"{_NOT_MAPPED} (musicgen_decoder); MusicgenForCausalLM reloads it",
    "musicgen_melody": f"{_NOT_MAPPED} (musicgen_melody_decoder); MusicgenMelodyForCausalLM reloads it",
}


def model_types() -> list[str]:
    """Every model type that one of the three language-model mappings names."""
    return sorted({model_type for names in NAMES.values() for model_type in names})


def task_of(model_type: str) -> Task:
    """The task a model type is built for: seq2seq before causal before masked."""
    return next(task for task, names in NAMES.items() if model_type in names)


def tiny_model(model_type: str, task: Task | None = None) -> PreTrainedModel:
    """A seeded random float32 model of this type in eval mode, small enough for a test."""
    task = task or task_of(model_type)
    config = tiny_config(model_type, task)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        if model_type in DECODER_ONLY:
            model = getattr(transformers, NAMES[task][model_type])._from_config(config.decoder)
        else:
            model = AUTO[task].from_config(config)
        for parameter in model.parameters():
            # A family that starts its output projections at zero would hide its attention from the logits.
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.02)
    return cast(PreTrainedModel, model.float().eval())


def tiny_config(model_type: str, task: Task) -> PreTrainedConfig:
    """The configuration that `tiny_model` builds from."""
    cls = CONFIG_MAPPING[model_type]
    overrides = copy.deepcopy(OVERRIDES.get(model_type, {}))
    if task == "causal":
        overrides |= {flag: True for flag in ("is_decoder", "causal") if flag in _field_names(cls)}
    return _shrunk(cls, overrides)


def _shrunk(
    cls: type[PreTrainedConfig], overrides: Mapping[str, Any], base: Mapping[str, Any] = MappingProxyType({})
) -> PreTrainedConfig:
    """A configuration of this class with every known size capped, and the same for those nested in it."""
    default = cls(**base)
    names = _field_names(cls)
    values = dict(base)
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            values[field.name] = _capped(field.name, values.get(field.name, field.default))
    values |= _token_ids(values) | _patterns(default, names)
    if {"kv_lora_rank", "num_key_value_heads"} <= names:
        values["num_key_value_heads"] = values["num_attention_heads"]
    for name in cls.sub_configs:
        nested = getattr(default, name, None)
        if isinstance(nested, PreTrainedConfig):
            specification = cls.sub_configs_defaults.get(name)
            nested_base = specification.init_kwargs if specification else {}
            values[name] = _shrunk(type(nested), overrides.get(name, {}), nested_base)
    return cls(**values | {name: value for name, value in overrides.items() if name not in cls.sub_configs})


def _field_names(cls: type[PreTrainedConfig]) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _capped(name: str, value: Any) -> Any:
    if value is None and name == "num_key_value_heads":
        return CAPS[name]
    if isinstance(value, int) and name in CAPS:
        return min(value, CAPS[name])
    return value


def _token_ids(values: Mapping[str, Any]) -> dict[str, Any]:
    """Special tokens outside the small vocabulary, moved to its ends."""
    special = [name for name in values if name.endswith(("token_id", "token_index"))]
    free = {name: VOCABULARY - 1 - place for place, name in enumerate(special)} | FIRST_TOKENS
    beyond = {name: free[name] for name in special if _largest(values[name]) >= VOCABULARY}
    return {name: [token] if isinstance(values[name], list) else token for name, token in beyond.items()}


def _largest(token: int | Sequence[int] | None) -> int:
    return max(token) if isinstance(token, Sequence) else token or 0


def _patterns(default: PreTrainedConfig, names: set[str]) -> dict[str, Any]:
    """Per-layer lists that hold each kind the default has, and the number of layers this takes."""
    kinds: dict[str, list[str]] = {
        name: list(dict.fromkeys(getattr(default, name)))
        for name in ("layer_types", "layers_block_type", "mlp_layer_types")
        if name in names and getattr(default, name)
    }
    if "num_hidden_layers" not in names or all(len(kind) == 1 for kind in kinds.values()):
        return {}
    layers = max(map(len, kinds.values()))
    lists = {name: kind + [kind[-1]] * (layers - len(kind)) for name, kind in kinds.items()}
    return {"num_hidden_layers": layers, **lists}


def forward(model: PreTrainedModel, length: int = 13, batch: int = 2) -> None:
    """One text-only forward pass over random token ids."""
    with torch.no_grad():
        model(**_inputs(model.config, length, batch))


def _inputs(config: PreTrainedConfig, length: int, batch: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    rows = batch * config.num_codebooks if config.model_type.startswith("musicgen") else batch
    inputs = {"input_ids": torch.randint(8, 60, (rows, length), generator=generator)}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.randint(8, 60, (batch, length), generator=generator)
    if config.model_type == "voxtral_realtime":
        frames = length * config.audio_length_per_tok
        inputs["input_features"] = torch.randn(
            batch, config.audio_config.num_mel_bins, frames, generator=generator
        )
    return inputs
