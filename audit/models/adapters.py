"""Merges a LoRA adapter into a loaded model, in memory."""

from typing import Any

import safetensors.torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict

from audit.checkpoint.adapter import WEIGHTS
from audit.checkpoint.records import Adapter
from audit.checkpoint.wording import first_line, listed, quoted
from audit.errors import RefusedCheckpoint

_RUNTIME_KEYS = frozenset(
    {"runtime_config", "auto_mapping", "megatron_core", "eva_config"}
)  # how it was trained, not what it is


def merged(model: Any, adapter: Adapter) -> Any:
    """`model` with the adapter's matrices added into its weights: the same class, nothing of peft left.

    Raises RefusedCheckpoint where the adapter is for another base: its modules are not there, or of another
    shape, or some that its configuration names are not in its file.
    """
    where = quoted(adapter.directory)
    try:
        wrapped = PeftModel(model, _config(adapter))
        result = set_peft_model_state_dict(
            wrapped, safetensors.torch.load_file(adapter.directory / WEIGHTS, device="cpu")
        )
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RefusedCheckpoint(
            f"the adapter in {where} does not fit this base: {_reason(error)}; give the base it was trained on"
        ) from error
    if result.unexpected_keys:
        raise RefusedCheckpoint(
            f"the adapter in {where} is for another base: it has {listed(result.unexpected_keys)}, "
            "and the base has no such modules"
        )
    if lacking := [name for name in result.missing_keys if "lora_" in name]:
        raise RefusedCheckpoint(f"the adapter in {where} lacks {listed(lacking)}: is the file complete?")
    return wrapped.merge_and_unload()


def _config(adapter: Adapter) -> LoraConfig:
    kept = {key: value for key, value in adapter.config.items() if key not in _RUNTIME_KEYS}
    return LoraConfig.from_peft_type(**kept | {"init_lora_weights": True, "inference_mode": True})


def _reason(error: Exception) -> str:
    """The first line that says something: torch's begins with a heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 and lines[0].endswith(":") else first_line(error)
