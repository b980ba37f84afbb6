"""Configuration keys that do not describe a model but choose what code reads or runs it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PreTrainedConfig

# Each decides in some transformers version, or in a sub-configuration, which loader, kernel or file is used;
# `_attn_implementation_internal` ran code from the hub in spite of trust_remote_code=False (CVE-2026-4372).
_LOADER_KEYS = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_internal",
        "attn_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
        "experts_implementation",
        "adapter_kwargs",
        "allow_all_kernels",
        "attribute_map",
        "base_config_key",
        "code_revision",
        "custom_generate",
        "distributed_config",
        "extra_config_files",
        "extra_files",
        "fusion_config",
        "gguf_file",
        "kernel_config",
        "sub_configs",
        "sub_configs_defaults",
        "transformers_weights",
        "trust_remote_code",
        "use_kernels",
        "_auto_class",
    }
)
_CODE_WORDS = frozenset(
    {"callable", "class", "cls", "factory", "fn", "func", "function", "hook", "implementation", "kernel"}
    | {"loader", "module"}
)
# a dotted name, `repository--module.Class`, `repository/kernel`, `module:function`
_CODE_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+|.*(--|/|:).*")
_IGNORED_CODE = frozenset({"auto_map", "custom_pipelines"})  # read only with trust_remote_code, never given


def forbidden_keys(config: Mapping[str, Any]) -> Iterator[str]:
    """Paths, e.g. `text_config.attn_implementation`, of keys that choose a loader or code, at any depth.

    Such a key either is a known switch of the loader, or would overwrite a method of the configuration
    class, or ends in a word for code (`..._fn`) and names something importable. Off and null are harmless.
    """
    machinery = {name for name in dir(PreTrainedConfig) if callable(getattr(PreTrainedConfig, name, None))}
    for path, key, value in _walk(config, ""):
        chooses = key in _LOADER_KEYS or key in machinery or _names_code(key, value)
        if chooses and value is not None and value is not False:
            yield path


def ignored_code(config: Mapping[str, Any]) -> Iterator[str]:
    """Paths of keys that offer remote code, which is never run."""
    return (path for path, key, value in _walk(config, "") if key in _IGNORED_CODE and value)


def _names_code(key: str, value: Any) -> bool:
    word = key.rsplit("_", 1)[-1].lower()
    return word in _CODE_WORDS and isinstance(value, str) and bool(_CODE_REFERENCE.fullmatch(value))


def _walk(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Each key below `value` as (path, key, its value); what an ignored key holds is not looked into."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            yield here, str(key), inner
            if key not in _IGNORED_CODE:
                yield from _walk(inner, here)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, f"{path}[{index}]")
