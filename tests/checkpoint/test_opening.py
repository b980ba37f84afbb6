"""Sound checkpoints of every form open; each spoilt one is refused with its own line."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from audit.checkpoint.opening import open_checkpoint
from audit.errors import MachineFault, RefusedCheckpoint
from tests.checkpoint import making

Copied = Callable[[str], Path]


class Spoilt(NamedTuple):
    """A way to spoil a sound checkpoint and what the refusal must say."""

    form: str
    spoil: Callable[[Path], Any]
    words: tuple[str, ...]


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: making.edit_json(folder / "config.json", **changes)


def weights(change: Callable[[making.Header, bytearray], Any]) -> Callable[[Path], None]:
    return lambda folder: making.edit_safetensors(folder / "model.safetensors", change)


def bytes_of(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, keep: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / name
        os.truncate(path, int(path.stat().st_size * keep))

    return spoil


def remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def overlap(header: making.Header, data: bytearray) -> None:
    second = [key for key in header if key != "__metadata__"][1]
    header[second]["data_offsets"][0] -= 4


def hole(header: making.Header, data: bytearray) -> None:
    last = max((k for k in header if k != "__metadata__"), key=lambda k: header[k]["data_offsets"])
    header[last]["data_offsets"] = [offset + 8 for offset in header[last]["data_offsets"]]
    data += bytes(8)


def wrong_type(header: making.Header, data: bytearray) -> None:
    header["bert.embeddings.word_embeddings.weight"]["dtype"] = "F16"


def fp8(header: making.Header, data: bytearray) -> None:
    for key, entry in header.items():
        if key == "bert.embeddings.word_embeddings.weight":
            entry["dtype"] = "F8_E4M3"
            entry["shape"] = [entry["shape"][0], entry["shape"][1] * 4]


def shard(folder: Path) -> str:
    return min(path.name for path in folder.glob("model-*.safetensors"))


def lose_shard(folder: Path) -> None:
    (folder / shard(folder)).unlink()


def empty_shard(folder: Path) -> None:
    name = shard(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    making.drop_tensor(folder / name, next(key for key, where in index.items() if where == name))


def escaping_shard(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"][next(iter(content["weight_map"]))] = "../bert-outside.safetensors"
    index.write_text(json.dumps(content))
    shutil.copy(folder / shard(folder), folder.parent / "bert-outside.safetensors")


def linked_out(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        outside = folder.parent / f"outside-{name}"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return spoil


def looping(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("model.safetensors")


def pipe(folder: Path) -> None:
    (folder / "tokenizer.json").unlink(missing_ok=True)
    os.mkfifo(folder / "tokenizer.json")


def gguf_pipe(folder: Path) -> None:
    (folder / "tiny.gguf").unlink()
    os.mkfifo(folder / "tiny.gguf")


def snapshots(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "snapshots").mkdir()


def template_linked_out(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder.parent / "secret.jinja").write_text("x")
    (folder / "additional_chat_templates" / "a.jinja").symlink_to(folder.parent / "secret.jinja")


def device(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/dev/zero")


def only_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def second_gguf(folder: Path) -> None:
    shutil.copy(folder / "tiny.gguf", folder / "other.gguf")


def pickle_named_safetensors(folder: Path) -> None:
    torch.save({"a": torch.zeros(1)}, folder / "model.safetensors", _use_new_zipfile_serialization=False)


def zip_named_safetensors(folder: Path) -> None:
    torch.save({"a": torch.zeros(1)}, folder / "model.safetensors")


SPOILT = {
    "no config": Spoilt("bert", remove("config.json"), ("no checkpoint", "config.json")),
    "no weights": Spoilt("bert", remove("model.safetensors"), ("no weights", "model.safetensors")),
    "adapter alone": Spoilt("bert", only_adapter, ("adapter without its base", "--adapter")),
    "several GGUF": Spoilt("gguf", second_gguf, ("2 GGUF files", "'other.gguf'", "'tiny.gguf'")),
    "remote code": Spoilt(
        "bert",
        config(model_type="mine", auto_map={"AutoModel": "modeling.Mine"}),
        ("remote code", "'mine'", "never run"),
    ),
    "loader key": Spoilt(
        "bert", config(_attn_implementation_internal="me/kernel"), ("_attn_implementation_internal", "remove")
    ),
    "nested loader key": Spoilt(
        "bert", config(text_config={"attn_implementation": "me/kernel"}), ("text_config.attn_implementation",)
    ),
    "planted function": Spoilt("bert", config(hidden_fn="os.system"), ("hidden_fn", "code")),
    "overwritten method": Spoilt("bert", config(to_dict={"a": 1}), ("to_dict",)),
    "unknown type": Spoilt("bert", config(model_type="bertt"), ("'bertt'", "did you mean", "bert")),
    "no type": Spoilt("bert", config(model_type=...), ("model_type", "None")),
    "without softmax": Spoilt("bert", config(model_type="mamba"), ("'mamba'", "no softmax attention")),
    "bitsandbytes": Spoilt("bert", config(quantization_config={"load_in_4bit": True}), ("'bitsandbytes'",)),
    "GPTQ": Spoilt("bert", config(quantization_config={"quant_method": "gptq"}), ("'gptq'", "unquantised")),
    "AWQ": Spoilt("bert", config(quantization_config={"quant_method": "awq"}), ("'awq'",)),
    "FP8": Spoilt("bert", config(quantization_config={"quant_method": "fp8"}), ("'fp8'",)),
    "undeclared FP8": Spoilt("bert", weights(fp8), ("'FP8'", "word_embeddings")),
    "config not JSON": Spoilt("bert", bytes_of("config.json", b"{"), ("'config.json' is not JSON",)),
    "config not UTF-8": Spoilt("bert", bytes_of("config.json", b"\xff{}"), ("'config.json' is not JSON",)),
    "config a list": Spoilt("bert", bytes_of("config.json", b"[]"), ("JSON list", "not an object")),
    "config endless": Spoilt("bert", bytes_of("config.json", b"[" * 200_000), ("is not JSON",)),
    "truncated": Spoilt("bert", cut("model.safetensors", 0.9), ("'model.safetensors'", "truncated")),
    "truncated in header": Spoilt("bert", cut("model.safetensors", 0.02), ("truncated", "header")),
    "empty": Spoilt("bert", bytes_of("model.safetensors", b""), ("truncated",)),
    "absurd header": Spoilt(
        "bert",
        bytes_of("model.safetensors", struct.pack("<Q", 1 << 40) + b"{}"),
        ("header length is absurd",),
    ),
    "overlapping": Spoilt("bert", weights(overlap), ("overlap",)),
    "hole": Spoilt("bert", weights(hole), ("hole",)),
    "wrong type": Spoilt("bert", weights(wrong_type), ("shape and type do not fit",)),
    "padded": Spoilt("bert", weights(lambda _, data: data.extend(b"more")), ("padded",)),
    "a pickle in disguise": Spoilt("bert", pickle_named_safetensors, ("mislabelled", "a pickle")),
    "a zip in disguise": Spoilt("bert", zip_named_safetensors, ("mislabelled", "zip")),
    "a GGUF in disguise": Spoilt(
        "bert", bytes_of("model.safetensors", b"GGUF\x03\0\0\0" * 9), ("mislabelled", "GGUF")
    ),
    "an LFS pointer": Spoilt(
        "bert", bytes_of("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"), ("Git LFS",)
    ),
    "pickle": Spoilt("pickle", lambda _: None, ("'pytorch_model.bin'", "--allow-pickle", "safetensors")),
    "shard missing": Spoilt("sharded", lose_shard, ("1 of", "lacks", "model-00001-of-")),
    "tensor not in its shard": Spoilt("sharded", empty_shard, ("shards that lack them", "model-00001-of-")),
    "shard outside": Spoilt("sharded", escaping_shard, ("leads out of the checkpoint",)),
    "index without map": Spoilt(
        "sharded",
        lambda f: making.edit_json(f / "model.safetensors.index.json", weight_map=3),
        ("weight_map",),
    ),
    "weights linked out": Spoilt("bert", linked_out("model.safetensors"), ("leads out", "outside-model")),
    "config linked out": Spoilt("bert", linked_out("config.json"), ("leads out", "copy the file")),
    "GGUF linked out": Spoilt("gguf", linked_out("tiny.gguf"), ("leads out",)),
    "loop of links": Spoilt("bert", looping, ("broken link",)),
    "pipe": Spoilt("bert", pipe, ("'tokenizer.json'", "not a regular file")),
    "GGUF pipe": Spoilt("gguf", gguf_pipe, ("'tiny.gguf'", "not a regular file")),
    "hub repository": Spoilt("bert", snapshots, ("one of its snapshots",)),
    "template linked out": Spoilt("bert", template_linked_out, ("leads out", "secret.jinja")),
    "device": Spoilt("bert", device, ("'config.json'", "/dev/zero")),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_checkpoint_is_refused_in_one_line_that_names_the_fault(case: str, copied: Copied):
    """Exit code 2, one line, what was found, before anything is loaded."""
    form, spoil, words = SPOILT[case]
    folder = copied(form)
    spoil(folder)
    with pytest.raises(RefusedCheckpoint) as refusal:
        open_checkpoint(folder)
    message = str(refusal.value)
    assert refusal.value.exit_code == 2
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def without_a_layer(folder: Path) -> None:
    making.drop_tensor(folder / "model.safetensors", "bert.encoder.layer.1.attention.self.query.weight")


# Found only when files and architecture are brought together: the store has been opened by then.
SPOILT_WITHIN = {
    "tensor missing": Spoilt(
        "bert", without_a_layer, ("1 tensors that", "layer.1.attention.self.query.weight")
    ),
    "other widths": Spoilt("bert", config(intermediate_size=8), ("has shape", "do not belong together")),
    "absurd depth": Spoilt("bert", config(num_hidden_layers=10**6), ("1000000 layers", "do not belong")),
}


@pytest.mark.parametrize("case", [*SPOILT, *SPOILT_WITHIN])
def test_a_refusal_ends_the_command_with_one_line_and_nothing_written(
    case: str, copied: Copied, attnaudit, tmp_path: Path
):
    """What a person sees: exit code 2, the fault on standard error, no store, the checkpoint as it was."""
    form, spoil, words = (SPOILT | SPOILT_WITHIN)[case]
    folder = copied(form)
    spoil(folder)
    before = sorted(tmp_path.rglob("*"))
    ran = attnaudit("run", folder, "--depth", "quick", "-o", tmp_path / "store")
    assert ran.code == 2
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert [word for word in words if word not in ran.err] == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("form", ["bert", "llama", "sharded", "gguf"])
def test_a_sound_checkpoint_opens(form: str, sound: dict[str, Path]):
    """Every form is told apart, every file has its digest, and the digest of all has 64 digits."""
    opened = open_checkpoint(sound[form])
    assert opened.form == ("gguf" if form == "gguf" else "safetensors")
    assert opened.model_type == ("bert" if form == "bert" else "llama")
    assert opened.tensors
    assert {header.file for header in opened.tensors.values()} <= {file.name for file in opened.files}
    assert all(len(file.sha256) == 64 and file.bytes > 0 for file in opened.files)
    assert len(opened.digest) == 64


def test_every_shard_is_part_of_the_checkpoint(sound: dict[str, Path]):
    """The index, the configuration and all shards are digested."""
    names = {file.name for file in open_checkpoint(sound["sharded"]).files}
    shards = {path.name for path in sound["sharded"].glob("model-*.safetensors")}
    assert len(shards) > 1
    assert names >= shards | {"config.json", "model.safetensors.index.json"}


def test_pickle_opens_when_it_is_allowed(sound: dict[str, Path]):
    """With the user's word the weights are listed like any others."""
    opened = open_checkpoint(sound["pickle"], allow_pickle=True)
    assert opened.form == "pickle"
    assert opened.tensors["bert.embeddings.word_embeddings.weight"].shape == (64, 32)


def test_a_gguf_file_opens_like_its_folder(sound: dict[str, Path]):
    """The path may name the file or the folder that holds only this one."""
    assert open_checkpoint(sound["gguf"] / "tiny.gguf") == open_checkpoint(sound["gguf"])


def test_real_checkpoints_open(minilm: Path, bert_tiny: Path, smollm2: Path, smollm2_gguf: Path):
    """An encoder, a masked model and a GGUF as people publish them."""
    for path in (minilm, bert_tiny, smollm2):
        assert open_checkpoint(path).has_tokenizer
    opened = open_checkpoint(smollm2_gguf)
    assert (opened.model_type, opened.gguf_file) == ("llama", smollm2_gguf.name)
    assert opened.tensors["token_embd.weight"].shape == (49152, 576)
    assert opened.config["bos_token_id"] == 1


def test_a_hub_cache_snapshot_opens_through_its_links(sound: dict[str, Path], tmp_path: Path):
    """Files of a snapshot are links into the repository's blobs, and these are followed."""
    repository = tmp_path / "models--me--bert"
    snapshot = repository / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, file in enumerate(sorted(sound["bert"].iterdir())):
        shutil.copy(file, repository / "blobs" / f"{number:040x}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number:040x}")
    assert open_checkpoint(snapshot).digest == open_checkpoint(sound["bert"]).digest


def test_blobs_that_lead_elsewhere_are_not_followed(sound: dict[str, Path], tmp_path: Path):
    """A link in place of the blobs folder does not open another folder."""
    snapshot = tmp_path / "models--me--bert" / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--me--bert" / "blobs").symlink_to(sound["bert"])
    for file in sound["bert"].iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    with pytest.raises(RefusedCheckpoint, match="leads out of the checkpoint"):
        open_checkpoint(snapshot)


def test_links_inside_the_model_root_are_followed(copied: Copied, tmp_path: Path):
    """What lies elsewhere below the model root may be linked to."""
    folder = copied("bert")
    linked_out("model.safetensors")(folder)
    assert open_checkpoint(folder, model_root=tmp_path).form == "safetensors"


def test_a_checkpoint_outside_the_model_root_is_refused(copied: Copied, tmp_path: Path):
    """A link below the root that leads to a folder outside it does not help."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "inside").symlink_to(copied("bert"))
    with pytest.raises(RefusedCheckpoint, match="outside the model root"):
        open_checkpoint(tmp_path / "root" / "inside", model_root=tmp_path / "root")


@pytest.mark.parametrize("path", ["nowhere", "nul\0byte"])
def test_a_path_that_does_not_exist_is_refused(path: str, tmp_path: Path):
    """The path is named, whatever characters it holds."""
    with pytest.raises(RefusedCheckpoint, match="does not exist"):
        open_checkpoint(tmp_path / path)


def test_a_file_that_is_no_gguf_is_refused(sound: dict[str, Path]):
    """A weights file is not the checkpoint: its folder is."""
    with pytest.raises(RefusedCheckpoint, match=r"give the folder that holds config\.json"):
        open_checkpoint(sound["bert"] / "model.safetensors")


def test_a_native_type_with_remote_code_is_opened_and_remarked(copied: Copied):
    """Transformers' own class is used, and the ignored key is reported."""
    folder = copied("bert")
    making.edit_json(folder / "config.json", auto_map={"AutoModel": "modeling.Mine"})
    assert open_checkpoint(folder).remarks == ("auto_map ignored: bert is native",)


def test_pickle_and_adapter_beside_safetensors_are_remarked(copied: Copied):
    """What is not read is said."""
    folder = copied("bert")
    (folder / "pytorch_model.bin").write_bytes(b"")
    (folder / "adapter_config.json").write_text("{}")
    remarks = " ".join(open_checkpoint(folder).remarks)
    assert "pytorch_model.bin" in remarks
    assert "--adapter" in remarks


def test_the_digest_ignores_the_path_and_notices_a_tokenizer(copied: Copied, sound: dict[str, Path]):
    """A copy has the same digest; a changed vocabulary, which changes what is fed, another; a README does not."""
    folder = copied("bert")
    (folder / "README.md").write_text("words")
    before = open_checkpoint(folder)
    assert before.digest == open_checkpoint(sound["bert"]).digest
    assert not before.has_tokenizer
    (folder / "vocab.txt").write_text("[PAD]\n")
    after = open_checkpoint(folder)
    assert after.digest != before.digest
    assert after.has_tokenizer


def test_odd_names_are_safe(copied: Copied, tmp_path: Path):
    """Line breaks and undecodable bytes in names neither break the message nor the record."""
    folder = copied("bert").rename(tmp_path / "odd\nname")
    (folder / os.fsdecode(b"vocab\xff.txt")).write_text("x")
    names = [file.name for file in open_checkpoint(folder).files]
    assert "vocab\\xff.txt" in names
    json.dumps(names).encode("utf-8")
    (folder / "model.safetensors").unlink()
    with pytest.raises(RefusedCheckpoint) as refusal:
        open_checkpoint(folder)
    assert "\n" not in str(refusal.value)


def test_a_folder_that_may_not_be_read_is_the_machines_fault(sound: dict[str, Path], monkeypatch):
    """A permission is not the checkpoint's fault: exit code 5."""

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(MachineFault, match="Permission denied"):
        open_checkpoint(sound["bert"])
