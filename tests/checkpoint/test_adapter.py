"""LoRA adapters: plain ones in safetensors open; others are refused before the base is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from audit.checkpoint.opening import open_checkpoint
from audit.errors import RefusedCheckpoint
from tests.checkpoint import making


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file(
        {f"{stem}.lora_A.weight": torch.ones(2, 32), f"{stem}.lora_B.weight": torch.ones(32, 2)},
        folder / "adapter_model.safetensors",
    )
    return folder


def config(**changes: object) -> Callable[[Path], None]:
    return lambda folder: making.edit_json(folder / "adapter_config.json", **changes)


def narrow(folder: Path) -> None:
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    save_file({name: torch.ones(2, 40)}, folder / "adapter_model.safetensors")


def without_lora(folder: Path) -> None:
    save_file({"other": torch.ones(1)}, folder / "adapter_model.safetensors")


def only_pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def linked_out(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def test_a_lora_adapter_opens_with_its_base(adapter: Path, sound: dict[str, Path]):
    """Its files have digests of their own; the base's digest does not change."""
    opened = open_checkpoint(sound["llama"], adapter=adapter)
    assert opened.adapter is not None
    assert [file.name for file in opened.adapter.files] == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert opened.digest == open_checkpoint(sound["llama"]).digest
    assert opened.adapter.digest != opened.digest


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "adapter_config.json").unlink(), "holds no adapter"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "found none"),
        (only_pickle, "'adapter_model.bin', which is pickle"),
        (config(peft_type="IA3"), "of type 'IA3'"),
        (config(megatron_config={"a": 1}), "'megatron_config'"),
        (config(init_lora_weights="pissa"), "'pissa', which changes the base"),
        (narrow, "another base.*40 inputs"),
        (without_lora, "no LoRA matrices"),
        (linked_out, "leads out"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"PK\3\4" * 9), "mislabelled"),
    ],
)
def test_a_bad_adapter_is_refused(spoil, words: str, adapter: Path, sound: dict[str, Path]):
    """Exit code 2 and one line, before the base is loaded."""
    spoil(adapter)
    with pytest.raises(RefusedCheckpoint, match=words) as refusal:
        open_checkpoint(sound["llama"], adapter=adapter)
    assert "\n" not in str(refusal.value)
