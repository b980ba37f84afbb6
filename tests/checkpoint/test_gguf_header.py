"""The walk through a GGUF header agrees with the package on sound files and ends on any other."""

import random
import struct
import time
from pathlib import Path

import gguf
import pytest

from audit.checkpoint.gguf_header import BadHeader, read_header


@pytest.fixture
def content(sound: dict[str, Path]) -> bytes:
    return (sound["gguf"] / "tiny.gguf").read_bytes()


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(BadHeader) as fault:
        read_header(path)
    return str(fault.value)


def after(content: bytes, key: bytes) -> int:
    """Position of the type that follows a metadata key."""
    return content.index(key) + len(key)


def of_tensor(content: bytes, name: bytes) -> int:
    """Position of the number of dimensions that follows a tensor's name."""
    return content.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)


def patched(content: bytes, position: int, form: str, value: float) -> bytes:
    changed = bytearray(content)
    struct.pack_into(f"<{form}", changed, position, value)
    return bytes(changed)


def test_it_agrees_with_the_package_on_a_real_file(smollm2_gguf: Path):
    """Names, shapes, types and places of all tensors, and every scalar, as gguf's own reader has them."""
    header, reader = read_header(smollm2_gguf), gguf.GGUFReader(smollm2_gguf)
    assert [*header.tensors] == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        ours = header.tensors[tensor.name]
        assert ours.shape == tuple(reversed(tensor.shape.tolist()))
        assert (ours.type, ours.start, ours.bytes) == (
            tensor.tensor_type,
            tensor.data_offset,
            tensor.n_bytes,
        )
    assert header.metadata["llama.block_count"].content == 30
    assert len(header.metadata["tokenizer.ggml.tokens"].content) == 49152
    assert header.metadata["tokenizer.ggml.add_bos_token"].content is False


@pytest.mark.parametrize(
    ("position", "form", "value", "words"),
    [
        (0, "I", 0x46554746, "not GGUF"),
        (4, "I", 1, "version 1"),
        (4, "I", 0x03000000, "version"),
        (8, "Q", 1 << 60, "truncated"),
        (16, "Q", 1 << 60, "truncated"),
        (24, "Q", 1 << 60, "absurd"),
    ],
)
def test_counts_and_lengths_are_not_believed(
    position: int, form: str, value: int, words: str, content: bytes, tmp_path: Path
):
    """Wrong magic, version, and counts far beyond the file are each refused at once."""
    started = time.monotonic()
    assert words in refusal(tmp_path / "bad.gguf", patched(content, position, form, value))
    assert time.monotonic() - started < 5


def test_metadata_of_an_unknown_type_is_refused(content: bytes, tmp_path: Path):
    """Its length could not be known."""
    bad = patched(content, after(content, b"llama.block_count"), "I", 77)
    assert "unknown type 77" in refusal(tmp_path / "bad.gguf", bad)


def test_an_array_of_arrays_is_refused(content: bytes, tmp_path: Path):
    """No writer makes one, and nesting could go on without end."""
    changed = bytearray(patched(content, after(content, b"llama.block_count"), "I", 9))
    position = after(content, b"llama.block_count") + 4
    changed[position:position] = struct.pack("<IQ", 9, 1)
    assert "array of arrays" in refusal(tmp_path / "bad.gguf", bytes(changed))


def test_a_tensor_of_an_unknown_type_is_refused(content: bytes, tmp_path: Path):
    """A type that the package does not know cannot be sized, let alone unpacked."""
    place = of_tensor(content, b"token_embd.weight") + 4 + 16
    assert "tensor type 999" in refusal(tmp_path / "bad.gguf", patched(content, place, "I", 999))


def test_a_tensor_of_many_dimensions_is_refused(content: bytes, tmp_path: Path):
    """The format has four at most."""
    place = of_tensor(content, b"token_embd.weight")
    assert "5 dimensions" in refusal(tmp_path / "bad.gguf", patched(content, place, "I", 5))


def test_a_row_that_does_not_divide_into_blocks_is_refused(content: bytes, tmp_path: Path):
    """Blocks lie within rows."""
    place = of_tensor(content, b"token_embd.weight") + 4
    bad = patched(patched(content, place, "Q", 31), place + 16, "I", int(gguf.GGMLQuantizationType.Q8_0))
    assert "do not divide" in refusal(tmp_path / "bad.gguf", bad)


def test_tensors_that_overlap_are_refused(content: bytes, tmp_path: Path):
    """Two tensors at one offset."""
    place = of_tensor(content, b"output_norm.weight") + 4 + 8 + 4
    assert "overlap" in refusal(tmp_path / "bad.gguf", patched(content, place, "Q", 0))


def test_a_tensor_off_its_alignment_is_refused(content: bytes, tmp_path: Path):
    """The last tensor moved by a byte overlaps nothing, yet lies where no writer puts it."""
    path = tmp_path / "sound.gguf"
    path.write_bytes(content)
    last = max(read_header(path).tensors.items(), key=lambda item: item[1].start)[0].encode()
    place = of_tensor(content, last)
    (dimensions,) = struct.unpack_from("<I", content, place)
    place += 4 + 8 * dimensions + 4
    (offset,) = struct.unpack_from("<Q", content, place)
    assert "not aligned" in refusal(tmp_path / "bad.gguf", patched(content, place, "Q", offset + 1) + b"..")


def test_a_file_that_ends_early_is_refused(content: bytes, tmp_path: Path):
    """In its data, in its header, in its magic, or before it."""
    for keep in (len(content) - 40, 200, 3):
        assert "truncated" in refusal(tmp_path / "bad.gguf", content[:keep])
    assert "empty" in refusal(tmp_path / "bad.gguf", b"")


def test_a_key_that_comes_twice_is_refused(content: bytes, tmp_path: Path):
    """Which of the two would count is anybody's guess."""
    twice = content.replace(b"blk.0.attn_k.weight", b"blk.0.attn_q.weight")
    assert "appears twice" in refusal(tmp_path / "bad.gguf", twice)


@pytest.mark.parametrize("alignment", [0, 3])
def test_an_impossible_alignment_is_refused(alignment: int, tmp_path: Path):
    """Only powers of two align."""
    writer = gguf.GGUFWriter(tmp_path / "bad.gguf", "llama")
    writer.add_uint32("general.alignment", alignment)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(BadHeader, match=f"alignment {alignment}"):
        read_header(tmp_path / "bad.gguf")


def test_random_damage_never_escapes(content: bytes, tmp_path: Path):
    """Whatever 500 random edits do to the header, the walk ends with a header or a BadHeader."""
    chance, path = random.Random(0), tmp_path / "bad.gguf"
    outcomes = set()
    for _ in range(500):
        changed = bytearray(content[:4000])
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 127, 255, chance.randrange(256)])
        path.write_bytes(bytes(changed) + content[4000:])
        try:
            read_header(path)
            outcomes.add("sound")
        except BadHeader as fault:
            outcomes.add(str(fault).split()[0])
    assert len(outcomes) > 3
