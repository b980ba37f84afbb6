"""What a GGUF file holds, and what transformers makes of its metadata, without reading a tensor."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import psutil
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from audit.checkpoint.gguf_header import BadHeader, Header, read_header
from audit.checkpoint.records import TensorHeader
from audit.checkpoint.wording import first_line, listed
from audit.errors import RefusedCheckpoint

SUFFIX = ".gguf"
_FLOAT32 = 4  # bytes


class GgufFile(NamedTuple):
    """A GGUF file that transformers can read and this machine can hold."""

    config: dict[str, Any]
    tensors: dict[str, TensorHeader]
    has_tokenizer: bool


def read_gguf(path: Path, name: str, *, available_memory: int | None = None) -> GgufFile:
    """Configuration and tensors of a GGUF file; `name` is how messages call it.

    Raises RefusedCheckpoint for a damaged file, a part of a split one, a type or an architecture that cannot
    be read, and one that de-quantised to float32 exceeds `available_memory` (bytes; this machine's if None).
    """
    try:
        header = read_header(path)
    except BadHeader as fault:
        raise RefusedCheckpoint(f"{name!r} cannot be used: it is {fault}; download it again") from fault
    _refuse_split(header, name)
    _refuse_unreadable_types(header, name)
    _refuse_too_large(header, name, available_memory)
    tensors = {
        tensor: TensorHeader(shape=stored.shape, dtype=stored.type.name, file=name)
        for tensor, stored in header.tensors.items()
    }
    return GgufFile(_config(header, name), tensors, "tokenizer.ggml.tokens" in header.metadata)


def _refuse_split(header: Header, name: str) -> None:
    parts = _content(header, "split.count")
    if isinstance(parts, int) and parts > 1:
        raise RefusedCheckpoint(
            f"{name!r} is one of {parts} parts of a split GGUF, which transformers cannot read: merge them first"
        )


def _refuse_unreadable_types(header: Header, name: str) -> None:
    unreadable = {stored.type.name for stored in header.tensors.values() if not _readable(stored.type)}
    if unreadable:
        raise RefusedCheckpoint(
            f"{name!r} stores tensors as {listed(unreadable)}, which cannot be de-quantised: "
            "convert the model to another GGUF type"
        )


def _readable(kind: GGMLQuantizationType) -> bool:
    """Whether the package can unpack one block; it says so only by trying."""
    block = np.zeros((1, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    with suppress(NotImplementedError), np.errstate(all="ignore"):
        gguf.dequantize(block, kind)
        return True
    return False


def _refuse_too_large(header: Header, name: str, available: int | None) -> None:
    needed = _FLOAT32 * sum(prod(stored.shape) for stored in header.tensors.values())
    free = psutil.virtual_memory().available if available is None else available
    if needed > free:
        raise RefusedCheckpoint(
            f"{name!r} takes {needed / 1e9:.1f} GB once de-quantised to float32, and {free / 1e9:.1f} GB of memory "
            "are free: use a machine with more memory"
        )


def _config(header: Header, name: str) -> dict[str, Any]:
    """The configuration transformers reads from this metadata.

    Its reader is shown a copy without tokens and data: that is ten times faster, and nothing hostile is left.
    """
    architecture = _content(header, "general.architecture")
    if not isinstance(architecture, str):
        raise RefusedCheckpoint(f"{name!r} names no general.architecture in its metadata: convert it again")
    with tempfile.TemporaryDirectory() as folder:
        slim = Path(folder) / f"slim{SUFFIX}"
        try:
            _write_slim(header, architecture, slim)
            config = dict(load_gguf_checkpoint(str(slim))["config"])
        except OSError:
            raise  # the scratch folder's fault
        except Exception as error:  # transformers meets metadata it cannot read in many ways
            raise RefusedCheckpoint(
                f"{name!r} has architecture {architecture!r}, which transformers cannot read from GGUF: "
                f"{first_line(error)}"
            ) from error
    if (tokens := _content(header, "tokenizer.ggml.tokens")) is not None:
        config.setdefault("vocab_size", len(tokens))
    return config


def _write_slim(header: Header, architecture: str, path: Path) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in header.metadata.items():
        tokens = key.startswith("tokenizer.") and value.items is not None
        if not tokens and value.content != [] and key != "general.architecture":  # the writer refuses []
            writer.add_key_value(key, value.content, value.type, value.items)
    for tensor in header.tensors:
        writer.add_tensor(tensor, np.zeros(1, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _content(header: Header, key: str) -> Any:
    metadata: Mapping[str, Any] = header.metadata
    return metadata[key].content if key in metadata else None
