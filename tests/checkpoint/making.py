"""Makes small sound checkpoints of every form, and the tools to spoil them."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

Header = dict[str, Any]


def bert() -> BertForMaskedLM:
    """A masked language model of 2 layers of 4 heads, 64 tokens."""
    torch.manual_seed(0)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=64,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=32,
        )
    ).eval()


def llama(*, tied: bool = False) -> LlamaForCausalLM:
    """A causal model of 2 layers of 4 heads over 2 key/value heads, 64 tokens."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=32,
            tie_word_embeddings=tied,
        )
    ).eval()


def mixture() -> Qwen3MoeForCausalLM:
    """A causal mixture of 4 experts, whose GGUF form keeps gates and ups apart."""
    torch.manual_seed(0)
    return Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=32,
            moe_intermediate_size=768,  # the default, and all that transformers reads from a GGUF
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            num_experts=4,
            num_experts_per_tok=2,
            norm_topk_prob=True,  # what transformers takes every GGUF of the family to be
            max_position_embeddings=32,
        )
    ).eval()


def saved(model: PreTrainedModel, folder: Path, **options: Any) -> Path:
    """`folder`, with the model in transformers' layout."""
    model.save_pretrained(folder, **options)
    return folder


def pickled(model: PreTrainedModel, folder: Path) -> Path:
    """`folder`, with the model's weights as PyTorch pickles them."""
    folder.mkdir()
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Sets keys of a JSON object on disk; a value of ... removes its key."""
    content = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}), "utf-8")


def edit_safetensors(path: Path, change: Callable[[Header, bytearray], Any]) -> None:
    """Lets `change` spoil header and data of a safetensors file in place."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    change(header, data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def drop_tensor(path: Path, name: str) -> None:
    """Takes one tensor out of a safetensors file and leaves the rest sound."""

    def change(header: Header, data: bytearray) -> None:
        begin, end = header.pop(name)["data_offsets"]
        del data[begin:end]
        for key, entry in header.items():
            if key != "__metadata__" and entry["data_offsets"][0] >= end:
                entry["data_offsets"] = [offset - (end - begin) for offset in entry["data_offsets"]]

    edit_safetensors(path, change)


def write_gguf(
    model: PreTrainedModel,
    path: Path,
    *,
    architecture: str = "llama",
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """`path`, with a llama-like model as llama.cpp's converter would lay it out; matrices stored as `kind`."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in (_metadata(model.config, architecture) | dict(metadata or {})).items():
        writer.add_key_value(key, value, _value_type(value))
    for name, tensor in _gguf_tensors(model, architecture).items():
        if tensor.ndim < 2:
            writer.add_tensor(name, tensor)
        else:
            writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _metadata(config: Any, architecture: str) -> dict[str, Any]:
    values = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": 10000.0,
        "vocab_size": config.vocab_size,
    }
    if architecture == "qwen3moe":
        values |= {
            "expert_count": config.num_experts,
            "expert_used_count": config.num_experts_per_tok,
            "attention.key_length": config.head_dim,
        }
    return {f"{architecture}.{key}": value for key, value in values.items()}


def _value_type(value: Any) -> gguf.GGUFValueType:
    return gguf.GGUFValueType.UINT32 if isinstance(value, int) else gguf.GGUFValueType.get_type(value)


def _gguf_tensors(model: Any, architecture: str) -> dict[str, Any]:
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(arch, model.config.num_hidden_layers)
    found: dict[str, Any] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        if name.endswith("gate_up_proj"):
            gate, up = np.split(values, 2, axis=1)
            block = name.split(".")[2]
            found |= {f"blk.{block}.ffn_gate_exps.weight": gate, f"blk.{block}.ffn_up_exps.weight": up}
            continue
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = model.config.num_attention_heads if "q_proj" in name else model.config.num_key_value_heads
            values = _interleaved(values, heads)
        stem = name.removesuffix(".weight")
        found[f"{names.get_name(stem)}.weight"] = np.ascontiguousarray(values)
    return found


def _interleaved(values: Any, heads: int) -> Any:
    """Rows in the order of llama.cpp, which rotates neighbours where transformers rotates halves."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
