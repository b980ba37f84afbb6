"""The tensors of a checkpoint, each read from disk only when the loader asks for it.

Handing these to transformers instead of a folder means that exactly the files that were checked are loaded, and
that no tensor is in memory twice.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from audit.checkpoint.pickle_files import unpickled
from audit.checkpoint.records import Checkpoint

_PIECE = 1 << 18  # values converted at once: a table of embeddings may be as large as the rest of a model
_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class _Safetensor:
    """A tensor that is read when the loader moves it where it is to be, and never whole in two precisions."""

    def __init__(self, file: Any, path: Path, name: str, *, views: set[int] | None = None) -> None:
        self._file = file
        self._path = path
        self._name = name
        self._views = views

    def __getitem__(self, _: object) -> "_Safetensor":
        return self

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Tensor:
        if self._views is not None:
            whole: Tensor = self._file.get_tensor(self._name)
            self._views.add(whole.data_ptr())
            return whole
        described = self._file.get_slice(self._name)
        stored, size = _FLOATS.get(described.get_dtype()), prod(described.get_shape())
        if dtype is None or stored is None or stored == dtype or size <= _PIECE:
            found: Tensor = self._file.get_tensor(self._name)
            return found.to(device=device, dtype=dtype)
        return self._converted(size, stored, dtype).reshape(described.get_shape()).to(device=device)

    def _converted(self, size: int, stored: torch.dtype, dtype: torch.dtype) -> Tensor:
        """All values, piece by piece; the library would read the whole tensor for every slice of it."""
        out, piece = torch.empty(size, dtype=dtype), torch.empty(_PIECE, dtype=stored)
        with self._path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            file.seek(8 + length + json.loads(file.read(length))[self._name]["data_offsets"][0])
            for first in range(0, size, _PIECE):
                part = piece[: min(_PIECE, size - first)]
                if file.readinto(part.view(torch.uint8).numpy().data) != part.nbytes:
                    raise OSError(
                        f"{str(self._path)!r} ends within {self._name!r}: it changed after it was checked"
                    )
                out[first : first + len(part)] = part
        return out


@contextmanager
def stored_tensors(checkpoint: Checkpoint, *, views: set[int] | None = None) -> Iterator[dict[str, Any]]:
    """Name -> tensor, or something that gives the tensor when indexed and moved, of safetensors or pickled weights.

    With `views` those of safetensors are views of the files, as stored there, whatever they are asked to be; their
    addresses are added to it.
    """
    with ExitStack() as stack:
        files = {
            name: _opened(checkpoint, name, stack, views)
            for name in {header.file for header in checkpoint.tensors.values()}
        }
        yield {name: files[header.file][name] for name, header in checkpoint.tensors.items()}


def _opened(checkpoint: Checkpoint, name: str, stack: ExitStack, views: set[int] | None) -> Mapping[str, Any]:
    path = checkpoint.directory / name
    if checkpoint.form == "pickle":
        return unpickled(path, name)
    # read, not mapped: a mapped page counts twice once it is converted, and a file that shrinks kills the process
    file = stack.enter_context(safe_open(path, framework="pt", backend="pread" if views is None else "mmap"))
    return {key: _Safetensor(file, path, key, views=views) for key in file.keys()}  # noqa: SIM118 - the handle is no dict
