"""Refuses a config.json that transformers could not run natively, or could not run safely."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import transformers
from transformers import CONFIG_MAPPING

from audit.checkpoint.forbidden import forbidden_keys, ignored_code
from audit.checkpoint.quantised import refuse_quantised_configuration
from audit.checkpoint.wording import listed, quoted
from audit.errors import RefusedCheckpoint

# state-space, recurrent and Fourier mixing; hybrids are not here: what they have of attention is observed
_WITHOUT_SOFTMAX = {
    "falcon_mamba": "a state-space model",
    "fnet": "Fourier mixing",
    "mamba": "a state-space model",
    "mamba2": "a state-space model",
    "rwkv": "a recurrent model",
    "xlstm": "a recurrent model",
    "yoso": "attention by hashing, without a softmax",
}


class Checked(NamedTuple):
    """What a configuration that may be used says about itself."""

    model_type: str
    remarks: tuple[str, ...]


def checked(config: Mapping[str, Any], directory: Path) -> Checked:
    """Model type and remarks of a configuration that transformers can run without anybody else's code.

    Raises RefusedCheckpoint for keys that choose code, quantised weights, a missing or unknown model type,
    and types without softmax attention.
    """
    model_type = _known_type(config, directory)
    if model_type in _WITHOUT_SOFTMAX:
        raise RefusedCheckpoint(
            f"model type {model_type!r} is {_WITHOUT_SOFTMAX[model_type]}: it has no softmax attention to audit"
        )
    if keys := list(forbidden_keys(config)):
        raise RefusedCheckpoint(
            f"config.json in {quoted(directory)} has {listed(keys)}, which choose a loader or code and are never "
            "followed: remove them"
        )
    refuse_quantised_configuration(config)
    return Checked(
        model_type, tuple(f"{key} ignored: {model_type} is native" for key in ignored_code(config))
    )


def _known_type(config: Mapping[str, Any], directory: Path) -> str:
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in CONFIG_MAPPING:
        return model_type
    if config.get("auto_map"):
        raise RefusedCheckpoint(
            f"{quoted(directory)} needs remote code (auto_map, model type {model_type!r} is unknown to "
            f"transformers {transformers.__version__}): code from a checkpoint is never run"
        )
    if not isinstance(model_type, str):
        raise RefusedCheckpoint(
            f"config.json in {quoted(directory)} names no model_type (found {model_type!r}): "
            "is it the config of a transformers model?"
        )
    near = get_close_matches(model_type, list(CONFIG_MAPPING), n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "a newer transformers may know it"
    raise RefusedCheckpoint(
        f"model type {model_type!r} is unknown to transformers {transformers.__version__}: {hint}"
    )
