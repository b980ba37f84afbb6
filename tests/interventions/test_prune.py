"""What is written is a smaller checkpoint that anybody can load, and does what the ablation promised."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from audit.checkpoint.opening import open_checkpoint
from audit.errors import UnusableInput
from audit.interventions.ablation import Ablation
from audit.interventions.prune import prune
from audit.models.coverage import survey
from audit.models.loading import load_model
from tests.architectures import Task
from tests.interventions.subjects import loaded, opened, tiny


def test_a_gguf_model_without_two_blocks_loads_and_generates(smollm2: Path, tmp_path: Path) -> None:
    """Plain from_pretrained on the folder: 28 blocks in float16, a tokenizer with its chat template, and words."""
    model = opened(smollm2)
    found = prune(model, tmp_path / "smaller", layers=survey(model.model), blocks=[17, 12], heads=[(5, 3)])
    assert (found.blocks, found.silenced_heads, found.dtype) == ((12, 17), ((5, 3),), "float16")
    assert found.parameters_before - found.parameters_after == 2 * 3_540_096
    assert found.difference < 0.02
    smaller = AutoModelForCausalLM.from_pretrained(tmp_path / "smaller")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "smaller")
    assert smaller.config.num_hidden_layers == 28
    assert sum(p.numel() for p in smaller.parameters()) == found.parameters_after
    asked = tokenizer("The capital of France is", return_tensors="pt")
    written = smaller.float().generate(**asked, max_new_tokens=4, do_sample=False)
    assert written.shape[1] == asked["input_ids"].shape[1] + 4
    assert tokenizer.chat_template


def test_an_encoder_without_a_block_loads_and_encodes(minilm: Path, tmp_path: Path) -> None:
    """MiniLM with five blocks gives what MiniLM gives when the block is skipped, and can be audited again."""
    model = opened(minilm)
    found = prune(model, tmp_path / "smaller", layers=survey(model.model), blocks=[3])
    smaller, tokenizer = (each.from_pretrained(tmp_path / "smaller") for each in (AutoModel, AutoTokenizer))
    assert smaller.config.num_hidden_layers == 5
    assert torch.isfinite(smaller(**tokenizer("a text", return_tensors="pt")).last_hidden_state).all()
    assert found.difference < 1e-5
    again = load_model(open_checkpoint(tmp_path / "smaller"))
    assert again.subject.blocks == 5
    assert len(survey(again.model)) == 5


def test_silenced_heads_and_attention_are_zero_in_the_files_and_still_there(
    bert_tiny: Path, tmp_path: Path
) -> None:
    """Not removed, and not called so: the shapes and the number of parameters stay."""
    model = opened(bert_tiny)
    found = prune(
        model, tmp_path / "quiet", layers=survey(model.model), heads=[(0, 1), (1, 0)], attention=[1]
    )
    assert found.silenced_heads == ((0, 1),)  # the other stands in an attention that is silent as a whole
    assert found.silenced_attention == (1,)
    assert found.parameters_before == found.parameters_after
    quiet = AutoModelForMaskedLM.from_pretrained(tmp_path / "quiet")
    first, second = (block.attention.output.dense for block in quiet.bert.encoder.layer)
    slices = first.weight.unflatten(1, (2, -1))
    assert slices[:, 1].abs().max() == 0
    assert slices[:, 0].abs().max() > 0
    assert second.weight.abs().max() == second.bias.abs().max() == 0


@pytest.mark.parametrize(
    ("model_type", "task"),
    [
        ("bart", "seq2seq"),
        ("gemma2", "causal"),
        ("gpt2", "causal"),
        ("llama", "causal"),
        ("mixtral", "causal"),
        ("qwen3_next", "causal"),
    ],
)
def test_any_block_can_go_and_the_rest_does_what_it_did(model_type: str, task: Task, tmp_path: Path) -> None:
    """Lists in the configuration are cut with it; the written model equals the one with the block skipped."""
    subject = tiny(model_type, task)
    for layer in subject.layers:
        folder = tmp_path / str(layer.index)
        prune(loaded(subject.model, task), folder, layers=subject.layers, blocks=[layer.index])
        again = type(subject.model).from_pretrained(folder).eval()
        with torch.no_grad():
            found = subject.read(again(**subject.fed.inputs))
        cut = (Ablation(target="block", layer=layer.index, replacement="skip"),)
        assert torch.allclose(found, subject.logits(cut), atol=1e-5)


def test_lists_with_an_entry_per_block_lose_that_entry(tmp_path: Path) -> None:
    """A hybrid's layer types stay those of the blocks that are left."""
    subject = tiny("qwen3_next", "causal")
    before = list(subject.model.config.layer_types)
    prune(loaded(subject.model, "causal"), tmp_path / "new", layers=subject.layers, blocks=[0])
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert config["layer_types"] == before[1:]
    assert config["num_hidden_layers"] == len(before) - 1
    assert list(subject.model.config.layer_types) == before


def test_a_block_that_the_others_need_is_refused(tmp_path: Path) -> None:
    """T5's first block holds the position bias of all; nothing is written."""
    subject = tiny("t5", "seq2seq")
    with pytest.raises(UnusableInput, match="cannot do without these blocks.*relative_attention_bias"):
        prune(loaded(subject.model, "seq2seq"), tmp_path / "new", layers=subject.layers, blocks=[0])
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_counts_its_blocks_is_refused(tmp_path: Path) -> None:
    """GPT-2 may scale scores by the number of the block: then the rest would not do what it did."""
    subject = tiny("gpt2", "causal")
    subject.model.config.scale_attn_by_inverse_layer_idx = True
    scaled = type(subject.model)(subject.model.config).eval()
    subject.model.config.scale_attn_by_inverse_layer_idx = False
    with torch.no_grad():
        for parameter in scaled.parameters():
            parameter.mul_(8)
    scaled.config.scale_attn_by_inverse_layer_idx = True
    with pytest.raises(UnusableInput, match="its blocks depend on their number"):
        prune(loaded(scaled, "causal"), tmp_path / "new", layers=survey(scaled), blocks=[0])
    assert list(tmp_path.iterdir()) == []


def test_shared_blocks_cannot_be_dropped(tmp_path: Path) -> None:
    """ALBERT runs one block again and again: there is none to leave out."""
    subject = tiny("albert", "masked")
    with pytest.raises(UnusableInput, match="shares the weights of its block"):
        prune(loaded(subject.model, "masked"), tmp_path / "new", layers=subject.layers, blocks=[1])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "nothing to leave out"),
        ({"blocks": [7]}, "there is no layer 7: the model has 2"),
        ({"heads": [(0, 9)]}, "there is no head 9 in layer 0: it has 4"),
        ({"blocks": [0, 1]}, "all 2 blocks"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    asked: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """One line that names what was asked."""
    subject = tiny("llama", "causal")
    with pytest.raises(UnusableInput, match=words):
        prune(loaded(subject.model, "causal"), tmp_path / "new", layers=subject.layers, **asked)
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_not_touched(tmp_path: Path) -> None:
    """No checkpoint is overwritten; an empty folder may be given."""
    subject = tiny("llama", "causal")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes").write_text("mine")
    with pytest.raises(UnusableInput, match="no empty folder"):
        prune(loaded(subject.model, "causal"), tmp_path / "used", layers=subject.layers, blocks=[0])
    shutil.rmtree(tmp_path / "used")
    (tmp_path / "used").mkdir()
    prune(loaded(subject.model, "causal"), tmp_path / "used", layers=subject.layers, blocks=[0])
    assert (tmp_path / "used" / "model.safetensors").exists()
    assert (
        len({path.stat().st_mode for path in (tmp_path / "used").iterdir()}) == 1
    )  # who reads one reads all


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    """Pruning reads weights and configuration, and changes neither."""
    subject = tiny("llama", "causal")
    before = subject.logits()
    prune(
        loaded(subject.model, "causal"), tmp_path / "new", layers=subject.layers, blocks=[0], heads=[(1, 2)]
    )
    assert torch.equal(subject.logits(), before)
    assert subject.model.config.num_hidden_layers == 2
