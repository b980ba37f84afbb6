"""Safetensors headers: sound files are never mistaken for others, and damage never escapes as another error."""

import random
import struct
from pathlib import Path

import torch
from safetensors.torch import save_file

from audit.checkpoint.safetensors_files import read_headers
from audit.errors import RefusedCheckpoint


def test_shapes_and_types_are_read_without_the_data(tmp_path: Path):
    """One entry for each tensor, scalars and empty ones too."""
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.tensor(1, dtype=torch.int64), "c": torch.zeros(0, 5)}, path)
    headers = read_headers(path, "x")
    assert {name: (header.shape, header.dtype) for name, header in headers.items()} == {
        "a": ((2, 3), "F32"),
        "b": ((), "I64"),
        "c": ((0, 5), "F32"),
    }


def test_a_sound_file_whose_length_looks_like_a_pickle_opens(tmp_path: Path):
    """A header of 640 bytes begins with the very bytes of a pickle."""
    text = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(640)
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 640) + text + bytes(4))
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert list(read_headers(path, "x")) == ["a"]


def test_random_damage_never_escapes(sound: dict[str, Path], tmp_path: Path):
    """Whatever 300 random edits do to the header, the file opens or is refused in one line."""
    content = (sound["bert"] / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    chance, path = random.Random(0), tmp_path / "x.safetensors"
    refused: list[str] = []
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(8 + length)] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            read_headers(path, "x")
        except RefusedCheckpoint as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in message for message in refused)
