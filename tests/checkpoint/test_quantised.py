"""Quantised weights that no configuration declares are told by their tensors."""

import pytest

from audit.checkpoint.quantised import refuse_quantised_tensors
from audit.checkpoint.records import TensorHeader
from audit.errors import RefusedCheckpoint


@pytest.mark.parametrize(
    ("name", "dtype", "method"),
    [
        ("layer.weight.SCB", "F32", "bitsandbytes"),
        ("layer.weight.quant_map", "F32", "bitsandbytes"),
        ("layer.qweight", "I32", "GPTQ or AWQ"),
        ("layer.weight_packed", "I32", "compressed-tensors"),
        ("layer.weight", "F8_E5M2", "FP8"),
        ("layer.weight", "F4", "FP4"),
    ],
)
def test_the_method_is_named(name, dtype, method):
    """By the suffix of a tensor or the type it is stored in."""
    tensors = {name: TensorHeader(shape=(1,), dtype=dtype, file="model.safetensors")}
    with pytest.raises(RefusedCheckpoint, match=f"'{method}'"):
        refuse_quantised_tensors(tensors)


@pytest.mark.parametrize("dtype", ["F32", "BF16", "I64", "Q4_1", "U8"])
def test_plain_types_pass(dtype):
    """GGUF's own blocks are unpacked, integers may be buffers."""
    refuse_quantised_tensors({"layer.weight": TensorHeader(shape=(1,), dtype=dtype, file="x")})
