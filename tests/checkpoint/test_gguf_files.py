"""GGUF files that transformers can read open; the others are refused by name."""

import random
import struct
from pathlib import Path

import gguf
import pytest

from audit.checkpoint.gguf_files import read_gguf
from audit.checkpoint.opening import open_checkpoint
from audit.errors import RefusedCheckpoint
from tests.checkpoint import making


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return making.write_gguf(making.llama(), tmp_path / "tiny.gguf", kind=gguf.GGMLQuantizationType.Q8_0)


def test_the_configuration_is_what_transformers_reads_from_the_whole_file(smollm2_gguf: Path):
    """The copy without tokens that transformers is shown changes nothing."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    read = read_gguf(smollm2_gguf, smollm2_gguf.name)
    assert read.config == load_gguf_checkpoint(str(smollm2_gguf))["config"]
    assert read.has_tokenizer


def test_types_and_shapes_are_the_files_own(tiny: Path):
    """Matrices are quantised, vectors are not."""
    read = read_gguf(tiny, tiny.name)
    assert read.tensors["blk.0.attn_q.weight"].dtype == "Q8_0"
    assert read.tensors["output_norm.weight"].dtype == "F32"
    assert read.tensors["blk.0.attn_k.weight"].shape == (16, 32)
    assert read.config["num_key_value_heads"] == 2


def test_an_architecture_transformers_cannot_read_is_named(tmp_path: Path):
    """llama.cpp knows more architectures than transformers reads."""
    path = making.write_gguf(making.llama(), tmp_path / "x.gguf", architecture="baichuan")
    with pytest.raises(RefusedCheckpoint, match="'baichuan', which transformers cannot read"):
        open_checkpoint(path)


def test_an_attention_free_architecture_is_named(tmp_path: Path):
    """The refusal of the configuration holds for GGUF too."""
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(RefusedCheckpoint, match="'mamba'.*no softmax attention"):
        open_checkpoint(path)


def test_a_file_without_architecture_is_refused(tiny: Path):
    """Its key misspelt, there is nothing to build from."""
    tiny.write_bytes(tiny.read_bytes().replace(b"general.architecture", b"general.architectura"))
    with pytest.raises(RefusedCheckpoint, match=r"names no general\.architecture"):
        read_gguf(tiny, tiny.name)


def test_a_part_of_a_split_file_is_refused(tmp_path: Path):
    """The parts must be merged first."""
    path = making.write_gguf(making.llama(), tmp_path / "x.gguf", metadata={"split.count": 3})
    with pytest.raises(RefusedCheckpoint, match="one of 3 parts"):
        read_gguf(path, path.name)


def test_a_type_that_cannot_be_unpacked_is_named(tiny: Path):
    """Q8_1 is for intermediate results; the package knows its size only."""
    content = bytearray(tiny.read_bytes())
    name = b"blk.0.ffn_norm.weight"  # 32 values: as Q8_1 it fits where its float32 values stood
    place = content.index(struct.pack("<Q", len(name)) + name) + 8 + len(name) + 4 + 8
    struct.pack_into("<I", content, place, int(gguf.GGMLQuantizationType.Q8_1))
    tiny.write_bytes(content)
    with pytest.raises(RefusedCheckpoint, match=r"'Q8_1', which cannot be de-quantised"):
        read_gguf(tiny, tiny.name)


def test_a_file_that_does_not_fit_once_dequantised_is_refused(tiny: Path):
    """It is the float32 size that counts: this file would fit as it is."""
    values = sum(parameter.numel() for parameter in making.llama().parameters())
    assert tiny.stat().st_size < 4 * values
    with pytest.raises(RefusedCheckpoint, match=r"GB once de-quantised to float32.*are free"):
        open_checkpoint(tiny, available_memory=4 * values - 1)
    assert open_checkpoint(tiny, available_memory=4 * values).form == "gguf"


def test_random_damage_never_escapes(tiny: Path):
    """Whatever 100 random edits do to the header, the file opens or is refused in one line."""
    content, chance = tiny.read_bytes(), random.Random(0)
    refused: list[str] = []
    for _ in range(100):
        changed = bytearray(content)
        changed[chance.randrange(1500)] = chance.randrange(256)
        tiny.write_bytes(changed)
        try:
            open_checkpoint(tiny)
        except RefusedCheckpoint as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert not any("\n" in message for message in refused)


@pytest.mark.parametrize("keep", [0.95, 0.3])
def test_a_truncated_file_is_refused(keep: float, tiny: Path):
    """In its data or in its header."""
    tiny.write_bytes(tiny.read_bytes()[: int(tiny.stat().st_size * keep)])
    with pytest.raises(RefusedCheckpoint, match=r"'tiny.gguf' cannot be used: it is truncated"):
        open_checkpoint(tiny)


def test_safetensors_named_gguf_are_refused(sound: dict[str, Path], tmp_path: Path):
    """The name lies, the magic bytes do not."""
    path = tmp_path / "model.gguf"
    path.write_bytes((sound["bert"] / "model.safetensors").read_bytes())
    with pytest.raises(RefusedCheckpoint, match="not GGUF"):
        open_checkpoint(path)
