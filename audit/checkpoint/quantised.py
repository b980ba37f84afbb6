"""Quantised formats, told by the configuration or by how the tensors are named and stored."""

from collections.abc import Mapping
from typing import Any

from audit.checkpoint.records import TensorHeader
from audit.errors import RefusedCheckpoint

_BY_SUFFIX = {
    ".SCB": "bitsandbytes",
    ".absmax": "bitsandbytes",
    ".quant_map": "bitsandbytes",
    ".qweight": "GPTQ or AWQ",
    ".qzeros": "GPTQ or AWQ",
    ".weight_packed": "compressed-tensors",
    ".weight_scale_inv": "FP8",
}
_BY_DTYPE = {"F8": "FP8", "F6": "FP6", "F4": "FP4"}  # first two letters of the stored type


def refuse_quantised_configuration(config: Mapping[str, Any]) -> None:
    """Raises RefusedCheckpoint, naming the method, where the configuration or a part of it is quantised."""
    for key in ("quantization_config", "compression_config"):
        if entry := config.get(key):
            _refuse(_method(entry), f"{key} in config.json")
    for part in config.values():
        if isinstance(part, Mapping):
            refuse_quantised_configuration(part)


def refuse_quantised_tensors(tensors: Mapping[str, TensorHeader]) -> None:
    """Raises RefusedCheckpoint where a tensor is stored in a quantised form that nothing declares."""
    for name, tensor in tensors.items():
        by_name = next((method for suffix, method in _BY_SUFFIX.items() if name.endswith(suffix)), None)
        method = by_name or _BY_DTYPE.get(tensor.dtype[:2])
        if method is not None:
            _refuse(method, f"tensor {name!r} ({tensor.dtype}) in {tensor.file!r}")


def _method(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return "an unnamed method"
    if entry.get("load_in_4bit") or entry.get("load_in_8bit"):
        return "bitsandbytes"
    return str(entry.get("quant_method") or "an unnamed method")


def _refuse(method: str, where: str) -> None:
    raise RefusedCheckpoint(
        f"the weights are quantised with {method!r} ({where}), which is not supported yet: "
        "give the unquantised checkpoint"
    )
