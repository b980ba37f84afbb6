"""Opens a LoRA adapter: safetensors only, plain LoRA only, and nothing in it that would run code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.checkpoint.digests import digest_of_files, file_digests
from audit.checkpoint.json_files import read_json
from audit.checkpoint.links import Place, place, real_file
from audit.checkpoint.records import Adapter, TensorHeader
from audit.checkpoint.safetensors_files import read_headers
from audit.checkpoint.wording import listed, quoted
from audit.errors import RefusedCheckpoint

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"

# each names a module to import, or files to read, or would change the base before the adapter is added
_CODE_KEYS = (
    "megatron_config",
    "corda_config",
    "loftq_config",
    "lora_ga_config",
)
_HARMLESS_INITIALISATIONS = ("gaussian", "orthogonal", "eva")


def open_adapter(path: Path, base: Mapping[str, TensorHeader], *, model_root: Path | None = None) -> Adapter:
    """The adapter in folder `path`, checked against the tensors of the base it is meant for.

    Raises RefusedCheckpoint for one that is no LoRA in safetensors, that chooses code, or whose matrices do not
    fit the base's.
    """
    where = place(path, model_root)
    config = _config(where)
    if not (where.directory / WEIGHTS).exists():
        found = (
            f"found {PICKLED!r}, which is pickle" if (where.directory / PICKLED).exists() else "found none"
        )
        raise RefusedCheckpoint(
            f"the adapter in {quoted(path)} needs its weights as {WEIGHTS!r} ({found}): convert it to safetensors"
        )
    paths = {name: real_file(name, where) for name in (CONFIG, WEIGHTS)}
    tensors = read_headers(paths[WEIGHTS], WEIGHTS)
    _check_fit(tensors, base, path)
    files = file_digests(paths)
    return Adapter(
        directory=where.directory, config=config, files=files, digest=digest_of_files(files), tensors=tensors
    )


def _config(where: Place) -> dict[str, Any]:
    if not (where.directory / CONFIG).exists():
        raise RefusedCheckpoint(f"{quoted(where.directory)} holds no adapter: there is no {CONFIG!r} in it")
    config = read_json(real_file(CONFIG, where), CONFIG)
    if config.get("peft_type") != "LORA":
        raise RefusedCheckpoint(
            f"the adapter is of type {config.get('peft_type')!r}: only LoRA can be merged into the base"
        )
    if keys := [key for key in _CODE_KEYS if config.get(key)]:
        raise RefusedCheckpoint(f"{CONFIG} has {listed(keys)}, which choose code or files: remove them")
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start not in _HARMLESS_INITIALISATIONS:
        raise RefusedCheckpoint(
            f"the adapter was initialised by {start!r}, which changes the base as well: convert it to plain LoRA"
        )
    return config


def _check_fit(tensors: Mapping[str, TensorHeader], base: Mapping[str, TensorHeader], path: Path) -> None:
    """Compares what can be compared by name; the rest shows when the adapter is merged."""
    down = {name: header for name, header in tensors.items() if name.endswith("lora_A.weight")}
    if not down:
        raise RefusedCheckpoint(f"the adapter in {quoted(path)} holds no LoRA matrices: is it complete?")
    for name, header in down.items():
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        target = base.get(f"{module}.weight")
        # a transposed weight (GPT-2) has its inputs first
        if target is not None and header.shape[-1] not in target.shape:
            raise RefusedCheckpoint(
                f"the adapter in {quoted(path)} is for another base: {name!r} takes {header.shape[-1]} inputs, "
                f"{module!r} of the base has shape {list(target.shape)}"
            )
