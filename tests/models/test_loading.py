"""Checkpoints of every form load exactly, quietly, offline and lean; the rest is refused or remarked."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from logging import Handler, LogRecord
from pathlib import Path

import gguf
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from audit.checkpoint.gguf_header import read_header
from audit.checkpoint.opening import open_checkpoint
from audit.errors import MachineFault, RefusedCheckpoint, UnusableInput
from audit.models.gguf_weights import dequantised
from audit.models.loading import LoadedModel, load_model
from audit.models.stored import _Safetensor
from tests.checkpoint import making

IDS = {"input_ids": torch.arange(12)[None]}


def sharded(folder: Path) -> Path:
    return making.saved(making.llama(), folder, max_shard_size="30KB")


def as_gguf(folder: Path) -> Path:
    folder.mkdir()
    return making.write_gguf(making.llama(), folder / "x.gguf")


FORMS: dict[str, Callable[[Path], Path]] = {
    "bert": lambda folder: making.saved(making.bert(), folder),
    "llama": lambda folder: making.saved(making.llama(), folder),
    "tied llama": lambda folder: making.saved(making.llama(tied=True), folder),
    "sharded": sharded,
    "pickle": lambda folder: making.pickled(making.bert(), folder),
    "gguf": as_gguf,
    "mixture": lambda folder: making.saved(making.mixture(), folder),
}
ORIGINALS = {
    "bert": making.bert,
    "pickle": making.bert,
    "tied llama": lambda: making.llama(tied=True),
    "mixture": making.mixture,
}


def loaded(path: Path, **options: object) -> LoadedModel:
    return load_model(open_checkpoint(path, allow_pickle=True), **options)


@pytest.mark.parametrize("form", FORMS)
def test_the_loaded_model_computes_what_the_saved_one_did(form: str, tmp_path: Path):
    """Bit for bit, in evaluation mode, without gradients, with eager attention."""
    original = ORIGINALS.get(form, making.llama)()
    original.set_attn_implementation("eager")
    found = loaded(FORMS[form](tmp_path / "x"))
    with torch.no_grad():
        # the converter rounds rms_norm_eps to float32, which a GGUF keeps
        torch.testing.assert_close(
            found.model(**IDS).logits,
            original(**IDS).logits,
            rtol=0,
            atol=1e-7 if form == "gguf" else 0,
        )
    assert not found.model.training
    assert not any(parameter.requires_grad for parameter in found.model.parameters())
    assert found.config._attn_implementation == "eager"
    assert found.subject.parameters == sum(parameter.numel() for parameter in original.parameters())
    assert found.subject.architecture == type(original).__name__


def test_the_subject_says_what_was_loaded(tmp_path: Path):
    """Counts from the configuration, files and digest from the checkpoint."""
    opened = open_checkpoint(making.saved(making.llama(), tmp_path / "x"))
    subject = load_model(opened).subject
    assert (subject.blocks, subject.heads, subject.kv_heads, subject.task) == (2, 4, 2, "causal")
    assert (subject.digest, subject.files, subject.model_type) == (opened.digest, opened.files, "llama")


def test_an_encoder_loads_whole(minilm: Path):
    """all-MiniLM has no head and a pooler: BertModel, nothing missing, nothing left over."""
    found = loaded(minilm)
    assert (found.task, found.subject.architecture) == ("encoder", "BertModel")
    assert (found.subject.blocks, found.subject.heads, found.subject.parameters) == (6, 12, 22_713_216)
    assert found.subject.remarks == ()
    assert found.tokenizer("Paris")["input_ids"] == [101, 3000, 102]


def test_a_masked_language_model_keeps_its_head(bert_tiny: Path):
    """Old names (gamma, beta) and the tied decoder are transformers' business."""
    found = loaded(bert_tiny)
    assert (found.task, found.subject.architecture, found.subject.remarks) == (
        "masked",
        "BertForMaskedLM",
        (),
    )


def test_a_real_gguf_speaks(smollm2: Path):
    """De-quantised and un-permuted, with the tokenizer inside the file, it knows a capital."""
    found = loaded(smollm2)
    assert (found.task, found.subject.blocks, found.subject.heads, found.subject.kv_heads) == (
        "causal",
        30,
        9,
        3,
    )
    batch = found.tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        best = found.model(**batch).logits[0, -1].argmax()
    assert found.tokenizer.decode(best).strip() == "Paris"
    assert found.tokenizer.chat_template


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_come_in_the_type_asked_for(dtype: torch.dtype, tmp_path: Path):
    """Whatever they are stored in."""
    found = loaded(making.saved(making.llama(), tmp_path / "x"), dtype=dtype)
    assert {parameter.dtype for parameter in found.model.parameters()} == {dtype}


@pytest.fixture
def talkative() -> Iterator[list[LogRecord]]:
    """What transformers logs while its user wants to see everything."""
    records: list[LogRecord] = []
    handler = Handler()
    handler.emit = records.append
    logging.add_handler(handler)
    logging.set_verbosity_info()
    logging.enable_progress_bar()
    yield records
    logging.set_verbosity_warning()
    logging.remove_handler(handler)


def test_nothing_is_printed_and_the_libraries_are_left_as_they_were(tmp_path: Path, talkative, capfd):
    """Neither progress bars nor a load report, although a tensor is missing; the verbosity is the user's again."""
    folder = making.saved(making.bert(), tmp_path / "x")
    making.drop_tensor(folder / "model.safetensors", "bert.encoder.layer.1.output.dense.bias")
    assert talkative
    talkative.clear()
    capfd.readouterr()
    with pytest.raises(RefusedCheckpoint):
        loaded(folder)
    assert capfd.readouterr() == ("", "")
    assert talkative == []
    assert logging.get_verbosity() == logging.INFO
    assert logging.is_progress_bar_enabled()


def test_loading_leaves_the_random_state_alone(tmp_path: Path):
    """A pooler that is missing is drawn by chance, and this chance is not the user's."""
    folder = making.saved(transformers.BertModel(making.bert().config), tmp_path / "x")
    making.drop_tensor(folder / "model.safetensors", "pooler.dense.weight")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    loaded(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_larger_than_memory_is_the_machines_fault(tmp_path: Path):
    """What counts is the size in the type that is computed in."""
    opened = open_checkpoint(making.saved(making.llama(), tmp_path / "x"))
    values = sum(parameter.numel() for parameter in making.llama().parameters())
    with pytest.raises(MachineFault, match=r"GB as torch\.float32") as fault:
        load_model(opened, available_memory=4 * values - 1)
    assert fault.value.exit_code == 5
    assert load_model(opened, dtype=torch.bfloat16, available_memory=2 * values).task == "causal"


def test_memory_that_gives_out_while_loading_is_the_machines_fault(tmp_path: Path, monkeypatch):
    """Torch's allocator raises a plain RuntimeError."""
    opened = open_checkpoint(making.saved(making.llama(), tmp_path / "x"))

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", full)
    with pytest.raises(MachineFault, match="memory gave out"):
        load_model(opened)


def test_a_file_that_goes_away_is_the_machines_fault(tmp_path: Path):
    """Between opening and loading a disk may be unplugged."""
    folder = making.saved(making.llama(), tmp_path / "x")
    opened = open_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(MachineFault, match="could not be read"):
        load_model(opened)


def test_an_unknown_device_is_unusable_input(tmp_path: Path):
    """Exit code 2 and a way out."""
    with pytest.raises(UnusableInput, match="device 'nonsense'.*try 'cpu'"):
        loaded(making.saved(making.llama(), tmp_path / "x"), device="nonsense")


def test_a_configuration_its_class_rejects_is_refused(tmp_path: Path):
    """What the class says is passed on in one line."""
    folder = making.saved(making.bert(), tmp_path / "x")
    making.edit_json(folder / "config.json", hidden_size="wide")
    with pytest.raises(RefusedCheckpoint, match="no valid 'bert' configuration") as refusal:
        loaded(folder)
    assert "\n" not in str(refusal.value)


def test_a_model_that_cannot_be_built_is_refused(tmp_path: Path):
    """A width that the heads do not divide."""
    folder = making.saved(making.bert(), tmp_path / "x")
    making.edit_json(folder / "config.json", num_attention_heads=5)
    with pytest.raises(RefusedCheckpoint) as refusal:
        loaded(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "changes", [{"num_hidden_layers": 10_000_000}, {"vocab_size": 2_000_000_000}, {"hidden_size": 4_000_000}]
)
def test_numbers_in_a_configuration_cost_neither_time_nor_memory(changes: dict[str, int], tmp_path: Path):
    """A model far beyond what the files hold is not built."""
    folder = making.saved(making.bert(), tmp_path / "x")
    making.edit_json(folder / "config.json", **changes)
    started = time.monotonic()
    with pytest.raises(RefusedCheckpoint, match="do not belong together"):
        loaded(folder)
    assert time.monotonic() - started < 10


MEASURE = """
import sys, threading, time
from pathlib import Path
import torch
import transformers.models.bert.modeling_bert, transformers.models.llama.modeling_llama
from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import load_model

def anonymous():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

def watch(seen, done):
    while not done.wait(0.001):
        seen.append(anonymous())

for path, dtype in zip(sys.argv[1::2], sys.argv[2::2]):
    opened = open_checkpoint(Path(path))
    seen, done = [anonymous()], threading.Event()
    threading.Thread(target=watch, args=(seen, done), daemon=True).start()
    model = load_model(opened, dtype=getattr(torch, dtype)).model
    seen.append(anonymous())  # whoever watches may have been kept waiting
    done.set()
    print((max(seen) - seen[0]) / sum(p.numel() * p.element_size() for p in model.parameters()), len(seen))
    del model
"""


def large(folder: Path, dtype: torch.dtype) -> Path:
    config = LlamaConfig(vocab_size=16_000, hidden_size=768, intermediate_size=2048, num_hidden_layers=6)
    config.num_attention_heads = config.num_key_value_heads = 12
    return making.saved(LlamaForCausalLM(config).to(dtype), folder)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_loading_takes_little_more_than_the_weights(tmp_path: Path, smollm2: Path):
    """Below 1.3 times the weights as computed in: stored so, narrower or wider, and de-quantised to either."""
    root = Path(__file__).parent.parent.parent
    wide, narrow = large(tmp_path / "a", torch.float32), large(tmp_path / "b", torch.bfloat16)
    words = [
        *(str(word) for path in (wide, narrow, smollm2.absolute()) for word in (path, "float32")),
        *(str(word) for path in (wide, smollm2.absolute()) for word in (path, "bfloat16")),
    ]
    ratios = []
    for path, dtype in zip(words[::2], words[1::2], strict=True):  # a process each: freed memory is kept
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, path, dtype], capture_output=True, text=True, check=True, cwd=root
        )
        ratio, seen = done.stdout.split()
        assert int(seen) > 10
        ratios.append(float(ratio))
    assert min(ratios) > 0.9
    assert max(ratios) < 1.3


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16, torch.float16])
def test_a_large_tensor_is_converted_to_the_bit(stored: torch.dtype, wanted: torch.dtype, tmp_path: Path):
    """Piece by piece gives what the whole gives, the last piece included."""
    values = torch.randn(300_007, 3, generator=torch.Generator().manual_seed(0)).to(stored)
    save_file({"first": torch.zeros(5), "table": values}, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", framework="pt", backend="pread") as file:
        found = _Safetensor(file, tmp_path / "x.safetensors", "table")[...].to(dtype=wanted)
    assert torch.equal(found, values.to(wanted))


def test_a_large_quantised_table_is_unpacked_to_the_bit(smollm2_gguf: Path):
    """In half precision as in full and narrowed afterwards."""
    stored = read_header(smollm2_gguf).tensors["token_embd.weight"]
    whole = dequantised(smollm2_gguf, stored)
    assert torch.equal(dequantised(smollm2_gguf, stored, torch.bfloat16), whole.to(torch.bfloat16))


def test_unused_tensors_of_a_gguf_are_remarked(tmp_path: Path):
    """Frequencies that llama.cpp stores and transformers computes: what differs is said."""
    path = making.write_gguf(making.llama(), tmp_path / "x.gguf")
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(tmp_path / "y.gguf", "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            writer.add_key_value(key, field.contents(), field.types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.add_tensor("rope_freqs.weight", reader.tensors[0].data[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    remarks = loaded(tmp_path / "y.gguf").subject.remarks
    assert "1 tensors of the files not used by LlamaForCausalLM: 'rope_freqs.weight'" in remarks
