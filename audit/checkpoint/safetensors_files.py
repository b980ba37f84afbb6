"""What safetensors files hold, from their headers; the library's own reader decides whether one is sound."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from audit.checkpoint.links import Place
from audit.checkpoint.records import TensorHeader
from audit.checkpoint.shards import indexed
from audit.checkpoint.wording import first_line
from audit.errors import RefusedCheckpoint

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive (a PyTorch pickle, perhaps)",
    b"GGUF": "a GGUF file",
    **{b"\x80" + bytes([protocol]): "a pickle" for protocol in range(2, 6)},
    b"\x1f\x8b": "gzip data",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
}
# what the library says -> what that means for the user
_FAULTS = {
    "header too small": "truncated: it ends before its header",
    "header too large": "its header length is absurd",
    "invalid header length": "truncated: its header runs past its end",
    "invalid JSON in header": "its header cannot be read",
    "not fully covered": "truncated or padded: header and size disagree",
    "invalid offset": "its tensors overlap or leave a hole",
    "invalid shape, data type": "a tensor's shape and type do not fit its bytes",
    "overflow": "a tensor's shape is absurd",
}


def read_headers(path: Path, name: str) -> dict[str, TensorHeader]:
    """Shape and type of each tensor in one file; `name` is how messages call it.

    Raises RefusedCheckpoint for a file that is truncated, overlaps, has holes, or is of another format.
    """
    try:
        # `pread`, for a file that shrinks under a memory map kills the process
        with safe_open(path, framework="pt", backend="pread") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - the handle is no dict
            return {
                key: TensorHeader(shape=tuple(part.get_shape()), dtype=part.get_dtype(), file=name)
                for key, part in slices.items()
            }
    except SafetensorError as error:
        raise RefusedCheckpoint(
            f"{name!r} cannot be used: {_fault(path, error)}; download it again"
        ) from error


def _fault(path: Path, error: SafetensorError) -> str:
    with path.open("rb") as file:
        start = file.read(32)
    # only once the library has given up: a sound file can begin with the same bytes, which are a length
    for magic, what in _OTHER_FORMATS.items():
        if start.startswith(magic):
            return f"it is mislabelled, for it is {what}"
    said = first_line(error).removeprefix("Error while deserializing header: ")
    return next((meaning for words, meaning in _FAULTS.items() if words in said), "damaged") + f" ({said})"


def read_shards(where: Place) -> tuple[dict[str, TensorHeader], dict[str, Path]]:
    """Tensors that the index names, and the real path of each shard by its name. Raises RefusedCheckpoint."""
    return indexed(where, INDEX, read_headers)
