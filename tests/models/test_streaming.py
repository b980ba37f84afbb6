"""Models larger than the memory they may take show the same numbers, and each weight is read once for all batches."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from audit import Plan, audit_checkpoint, catalog, store
from audit.benchmark.cases import batches_of
from audit.benchmark.comparison import at_once
from audit.checkpoint.opening import open_checkpoint
from audit.errors import MachineFault, UnusableInput
from audit.measure import Recorder
from audit.models.coverage import survey
from audit.models.loading import LoadedModel, load_model
from audit.models.observing import in_step, observe
from audit.models.passes import Watcher, run
from audit.models.sites import few_tokens
from audit.models.streaming import Room, Streamed, entered, on_disk, parts
from tests.architectures import Task, tiny_model

SAMPLES, TOKENS = 12, 24
TIGHT = 40 * 2**20  # bytes: less than BERT-tiny takes, more than its largest part does
FAMILIES = [
    ("llama", "causal"),
    ("gpt2", "causal"),
    ("bert", "masked"),
    ("t5", "seq2seq"),
    ("albert", "masked"),  # blocks that share their weights
    ("funnel", "masked"),  # lists of blocks in a list
    ("mixtral", "causal"),  # experts that are merged as they are loaded
    ("gemma2", "causal"),
]


def _room(folder: Path, share: float = 2.4) -> Room:
    """Memory for so much of what the weights take in float32."""
    values = sum(tensor.shape.numel() for tensor in _tensors(folder))
    return Room(int(share * 4 * values), folder)


def _tensors(folder: Path) -> list[torch.Tensor]:
    from safetensors.torch import load_file

    return [tensor for file in folder.glob("*.safetensors") for tensor in load_file(file).values()]


def _looked_at(loaded: LoadedModel) -> Recorder:
    layers = survey(loaded.model)
    metrics = [metric for metric in catalog.metrics().values() if "quick" in metric.depths]
    recorder = Recorder(metrics, layers, SAMPLES)
    if loaded.streamed:
        loaded.streamed.bytes_read = 0
    batches = batches_of(loaded.model, TOKENS, SAMPLES, at_once(SAMPLES))
    assert len(batches) > 1
    looks = [partial(observe, loaded.model, b, recorder.of(b), layers=layers) for b in batches]
    assert len(list(in_step(loaded, looks, layers=layers))) == len(batches)
    return recorder


def _streamed(loaded: LoadedModel) -> Streamed:
    assert loaded.streamed is not None
    return loaded.streamed


@pytest.mark.parametrize(
    ("model_type", "task", "dtype"),
    [(*family, torch.float32) for family in FAMILIES]
    + [("llama", "causal", torch.bfloat16)],  # whose frequencies stay float32
)
def test_numbers_are_to_the_bit_those_of_a_model_in_memory(
    model_type: str, task: Task, dtype: torch.dtype, tmp_path: Path
) -> None:
    """Stored in half the precision."""
    tiny_model(model_type, task).to(torch.bfloat16).save_pretrained(tmp_path)
    opened = open_checkpoint(tmp_path)
    streamed = load_model(opened, dtype=dtype, room=_room(tmp_path, 2.4 * dtype.itemsize / 4))
    found, expected = _looked_at(streamed), _looked_at(load_model(opened, dtype=dtype))
    _streamed(streamed)
    assert found.values.keys() == expected.values.keys()
    for name, values in expected.values.items():
        np.testing.assert_array_equal(found.values[name], values, err_msg=name)
    for name, values in expected.sums.state().items():
        np.testing.assert_array_equal(found.sums.state()[name], values, err_msg=name)


def test_each_weight_is_read_once_for_all_batches(tmp_path: Path) -> None:
    """Of the embeddings the rows that are looked up, of everything else each byte."""
    tiny_model("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = load_model(open_checkpoint(tmp_path), room=_room(tmp_path))
    _looked_at(loaded)
    weights = {id(p): p.nbytes for _, part in entered(loaded.model) for p in part.parameters()}
    rows = SAMPLES * TOKENS * loaded.config.hidden_size * 2
    assert _streamed(loaded).bytes_read == sum(weights.values()) + rows


def test_weights_are_gone_when_nothing_runs(tmp_path: Path) -> None:
    """A parameter is a view of its file again, as stored there."""
    tiny_model("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = load_model(open_checkpoint(tmp_path), room=_room(tmp_path))
    _looked_at(loaded)
    within = [p for _, part in parts(loaded.model) for p in part.parameters()]
    assert {parameter.dtype for parameter in within} == {torch.bfloat16}


def test_one_that_fits_is_loaded_as_ever(tmp_path: Path) -> None:
    """Weights that take little of the room."""
    tiny_model("llama").save_pretrained(tmp_path)
    assert load_model(open_checkpoint(tmp_path), room=_room(tmp_path, 2.6)).streamed is None


def test_a_part_that_is_too_large_is_named_with_what_would_do(tmp_path: Path) -> None:
    """The part, what it takes, and the least memory."""
    tiny_model("llama").save_pretrained(tmp_path)
    with pytest.raises(UnusableInput, match=r"--max-memory: '\S+' alone takes \d+ MiB.*give at least \d+MiB"):
        load_model(open_checkpoint(tmp_path), room=_room(tmp_path, 0.2))


def test_a_streamed_model_is_not_differentiated(tmp_path: Path) -> None:
    """Weights are gone before a backward pass would need them."""
    tiny_model("llama").save_pretrained(tmp_path)
    loaded = load_model(open_checkpoint(tmp_path), room=_room(tmp_path))
    with pytest.raises(UnusableInput, match="cannot be differentiated"):
        run(loaded.model, few_tokens(loaded.model), Watcher(), differentiable=True)


def test_gguf_is_unpacked_as_a_whole(smollm2: Path, tmp_path: Path) -> None:
    """And that is said before it is."""
    with pytest.raises(UnusableInput, match="gguf are unpacked as a whole"):
        load_model(open_checkpoint(smollm2), room=Room(2**26, tmp_path))


def test_an_audit_is_that_of_a_model_in_memory(bert_tiny: Path, tmp_path: Path) -> None:
    """Every number of depth quick, with more batches than wait for each other at once."""
    plan = Plan(depth="quick", samples=16, max_length=48, batch_size=1)
    usual = audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False)
    tight = dataclasses.replace(plan, max_memory=TIGHT)
    found = audit_checkpoint(bert_tiny, tight, store=tmp_path, pdf=False)
    assert found.audit_id != usual.audit_id
    assert found.measurements == usual.measurements
    assert found.nulls == usual.nulls
    tables = [(tmp_path / audit.audit_id / store.MEASUREMENTS).read_bytes() for audit in (usual, found)]
    assert tables[0] == tables[1]


def test_a_room_that_is_not_needed_is_another_way_to_the_same_audit(bert_tiny: Path, tmp_path: Path) -> None:
    """Where nothing stays on disk nothing is left out: it is returned, not made again."""
    plan = Plan(depth="quick", samples=16, max_length=32, metrics=("sink_mass",))
    usual = audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False)
    ample = dataclasses.replace(plan, max_memory=2**40)
    assert audit_checkpoint(bert_tiny, ample, store=tmp_path, pdf=False).audit_id == usual.audit_id


def test_a_full_disk_is_a_fault_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what was to be written where."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(
        MachineFault, match=r"has no room for 1 MiB that --max-memory keeps on disk: No space"
    ):
        on_disk(torch.zeros(2**18), tmp_path)


def test_an_audit_of_depth_standard_says_what_it_leaves_out(bert_tiny: Path, tmp_path: Path) -> None:
    """No second model with fresh weights; experiments are made all the same."""
    plan = Plan(depth="standard", samples=16, max_length=32, max_memory=TIGHT)
    found = audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False)
    fresh = found.nulls["attention_entropy"]["reinitialised"]
    assert fresh.value is None
    assert "--max-memory" in str(fresh.absent)
    assert found.drop_curves


def test_three_hundred_megabytes_are_looked_at_in_a_hundred(tmp_path: Path) -> None:
    """Anonymous memory stays below what was allowed, and the numbers are those of the model in memory."""
    model = _large().to(torch.bfloat16)
    stored = sum(parameter.nbytes for parameter in model.parameters())
    model.save_pretrained(tmp_path)
    del model
    assert stored > 250_000_000
    found, expected = _child(tmp_path, 100 * 2**20), _child(tmp_path, 0)
    assert found["batches"] > 1
    assert found["anonymous"] <= 100 * 2**20 < expected["anonymous"]
    assert (
        found["read"] <= 1.05 * stored
    )  # the table of the vocabulary is looked up in, and a matrix at the end
    assert found["values"] == expected["values"]


def _large() -> LlamaForCausalLM:
    torch.manual_seed(0)
    with torch.device("cpu"):
        return LlamaForCausalLM(
            LlamaConfig(
                hidden_size=768,
                intermediate_size=2048,
                num_hidden_layers=20,
                num_attention_heads=12,
                num_key_value_heads=4,
                vocab_size=8192,
                max_position_embeddings=512,
                tie_word_embeddings=True,
            )
        )


def _child(folder: Path, size: int) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.models.streamed_memory", str(folder), str(size)]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one)
    return json.loads(done.stdout)
