"""What PyTorch's pickled weights hold; they are opened only when asked for, and never beyond `weights_only`."""

import re
import warnings
import zipfile
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from audit.checkpoint.links import Place, real_file
from audit.checkpoint.records import TensorHeader
from audit.checkpoint.shards import indexed
from audit.checkpoint.wording import first_line, listed
from audit.errors import RefusedCheckpoint

SINGLE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})

_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
_PLANTED = re.compile(r"GLOBAL ([\w.]+)")


def refuse_pickle(names: list[str]) -> NoReturn:
    """Raises RefusedCheckpoint: reading these would need the user's word."""
    raise RefusedCheckpoint(
        f"the weights are pickle ({listed(names)}), which can run code when it is read: "
        "convert them to safetensors, or pass --allow-pickle if you trust their source"
    )


def unpickled(path: Path, name: str) -> dict[str, Tensor]:
    """Tensors by name, memory-mapped where the file allows. Raises RefusedCheckpoint.

    `weights_only=True` builds tensors and plain containers and nothing else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old protocols, which are read or refused all the same
            content = torch.load(  # noqa: TID251 - the one place
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except MemoryError:
        raise
    except Exception as error:  # the reader fails in many ways, and each means the same
        raise RefusedCheckpoint(f"{name!r} cannot be read as weights: {_reason(error)}") from error
    if not _is_flat(content):
        raise RefusedCheckpoint(
            f"{name!r} holds no flat dictionary of tensors: save model.state_dict() alone"
        )
    return dict(content)


def read_single(where: Place) -> tuple[dict[str, TensorHeader], dict[str, Path]]:
    """Tensors of `pytorch_model.bin`, and its real path by name. Raises RefusedCheckpoint."""
    path = real_file(SINGLE, where)
    return _headers(path, SINGLE), {SINGLE: path}


def read_shards(where: Place) -> tuple[dict[str, TensorHeader], dict[str, Path]]:
    """Tensors that the index of pickled shards names, and the shards' real paths. Raises RefusedCheckpoint."""
    return indexed(where, INDEX, _headers)


def _headers(path: Path, name: str) -> dict[str, TensorHeader]:
    return {
        key: TensorHeader(shape=tuple(tensor.shape), dtype=_dtype(tensor), file=name)
        for key, tensor in unpickled(path, name).items()
    }


def _dtype(tensor: Tensor) -> str:
    word = str(tensor.dtype).removeprefix("torch.")
    return _DTYPES.get(word, "F8" if word.startswith("float8") else word)


def _reason(error: Exception) -> str:
    """What torch found, without its advice to read the file with less care."""
    if planted := _PLANTED.search(str(error)):
        return f"it asks for {planted[1]!r}, which weights_only refuses"
    said = first_line(error).split(". ")[0]
    return "it is no plain pickle of tensors" if "eights only" in said else said


def _is_flat(content: object) -> bool:
    return isinstance(content, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )
