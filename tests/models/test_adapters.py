"""LoRA adapters are merged in memory; one for another base is refused."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from audit.checkpoint.opening import open_checkpoint
from audit.errors import RefusedCheckpoint
from audit.models.loading import LoadedModel, load_model
from audit.models.offline import quiet
from tests.checkpoint import making

IDS = {"input_ids": torch.arange(12)[None]}
WEIGHTS = "adapter_model.safetensors"


def adapted(folder: Path, **options: object) -> torch.Tensor:
    """Saves an adapter of the tiny llama in `folder` and gives the logits it makes."""
    config = LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], **options)
    torch.manual_seed(1)
    with torch.no_grad(), quiet():  # peft asks transformers for something deprecated
        model = get_peft_model(making.llama(), config)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
        model.save_pretrained(folder)
        return model.eval()(**IDS).logits


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return making.saved(making.llama(), tmp_path / "base")


def merged(base: Path, adapter: Path) -> LoadedModel:
    return load_model(open_checkpoint(base, adapter=adapter))


@pytest.mark.parametrize(
    "options", [{}, {"use_rslora": True}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}]
)
def test_the_merged_model_computes_what_the_adapted_one_did(options, base: Path, tmp_path: Path):
    """Plain, rank-stabilised and weight-decomposed LoRA, and whole modules; nothing of peft is left."""
    expected = adapted(tmp_path / "adapter", **options)
    found = merged(base, tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(found.model(**IDS).logits, expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(found.model(**IDS).logits, making.llama()(**IDS).logits, atol=1e-3)
    assert type(found.model).__name__ == "LlamaForCausalLM"
    assert not [name for name, _ in found.model.named_modules() if "lora" in name]
    assert not any(parameter.requires_grad for parameter in found.model.parameters())
    assert found.subject.adapter == open_checkpoint(base, adapter=tmp_path / "adapter").adapter.digest


def test_an_adapter_with_modules_the_base_lacks_is_refused(base: Path, tmp_path: Path):
    """It was made for a deeper model."""
    adapted(tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / WEIGHTS)
    deeper = {name.replace("layers.1", "layers.7"): tensor.clone() for name, tensor in tensors.items()}
    save_file(tensors | deeper, tmp_path / "adapter" / WEIGHTS)
    with pytest.raises(RefusedCheckpoint, match="another base.*layers.7"):
        merged(base, tmp_path / "adapter")


def test_an_adapter_that_lacks_matrices_is_refused(base: Path, tmp_path: Path):
    """Its configuration names modules that its file has nothing for."""
    adapted(tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / WEIGHTS)
    save_file({n: t for n, t in tensors.items() if "layers.1" not in n}, tmp_path / "adapter" / WEIGHTS)
    with pytest.raises(RefusedCheckpoint, match=r"lacks .*layers\.1"):
        merged(base, tmp_path / "adapter")


def test_an_adapter_of_another_shape_is_refused(base: Path, tmp_path: Path):
    """The way up has more rows than the base's module has outputs."""
    adapted(tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / WEIGHTS)
    wide = {n: torch.ones(48, 2) if "lora_B" in n else t for n, t in tensors.items()}
    save_file(wide, tmp_path / "adapter" / WEIGHTS)
    with pytest.raises(RefusedCheckpoint, match="does not fit this base: size mismatch") as refusal:
        merged(base, tmp_path / "adapter")
    assert "\n" not in str(refusal.value)


def test_an_adapter_for_modules_that_do_not_exist_is_refused(base: Path, tmp_path: Path):
    """Another family names its modules otherwise."""
    adapted(tmp_path / "adapter")
    making.edit_json(tmp_path / "adapter" / "adapter_config.json", target_modules=["c_attn"])
    with pytest.raises(RefusedCheckpoint, match="does not fit this base"):
        merged(base, tmp_path / "adapter")
