"""GGUF tensors come out as the package unpacks them, under the names and in the layout of transformers."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from audit.checkpoint.gguf_header import StoredTensor, read_header
from audit.checkpoint.opening import open_checkpoint
from audit.models.gguf_weights import dequantised
from audit.models.loading import load_model
from tests.checkpoint import making

KINDS = gguf.GGMLQuantizationType


@pytest.mark.parametrize(
    "kind", [KINDS.F32, KINDS.F16, KINDS.BF16, KINDS.Q4_1, KINDS.Q5_0, KINDS.Q8_0, KINDS.Q6_K]
)
def test_unpacking_in_pieces_changes_nothing(kind: KINDS, tmp_path: Path):
    """More blocks than one piece holds, of a type with values, with small and with large blocks."""
    shape = (700, 1024)
    blocks, size = gguf.GGML_QUANT_SIZES[kind]
    raw = np.random.default_rng(0).integers(0, 60, 700 * 1024 // blocks * size, dtype=np.uint8)
    path = tmp_path / "x"
    path.write_bytes(b"before" + raw.tobytes())
    found = dequantised(path, StoredTensor(shape, kind, start=6, bytes=raw.size))
    expected = gguf.dequantize(raw.reshape(700, -1), kind).reshape(shape)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("make", "architecture"),
    [
        (making.llama, "llama"),
        (lambda: making.llama(tied=True), "llama"),
        (making.mixture, "qwen3moe"),
    ],
)
@pytest.mark.parametrize("kind", [KINDS.F32, KINDS.Q8_0])
def test_it_loads_what_transformers_would(make, architecture: str, kind: KINDS, tmp_path: Path):
    """The same tensors under the same names, bit for bit; and those that were saved, where nothing was rounded."""
    original = make()
    path = making.write_gguf(original, tmp_path / "x.gguf", architecture=architecture, kind=kind)
    found = load_model(open_checkpoint(path)).model.state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32
    ).state_dict()
    assert found.keys() == theirs.keys()
    assert [name for name in theirs if not torch.equal(found[name], theirs[name])] == []
    if kind is KINDS.F32:
        saved = original.state_dict()
        assert [name for name in saved if not torch.equal(found[name], saved[name])] == []


def test_a_real_tensor_is_the_packages(smollm2_gguf: Path):
    """A projection of SmolLM2, 885 thousand values."""
    stored = read_header(smollm2_gguf).tensors["blk.7.ffn_down.weight"]
    raw = np.fromfile(smollm2_gguf, np.uint8, count=stored.bytes, offset=stored.start)
    expected = gguf.dequantize(raw.reshape(stored.shape[0], -1), stored.type)
    np.testing.assert_array_equal(dequantised(smollm2_gguf, stored), expected)
