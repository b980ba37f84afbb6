"""De-quantises a GGUF file tensor by tensor into the names and layouts that a transformers model expects.

Names and layouts are transformers' own tables; the unpacking is the gguf package's, a piece at a time, which
takes a twentieth of the time and half of the memory of unpacking whole tensors row by row.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import torch
from gguf import GGML_QUANT_SIZES
from torch import Tensor
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from audit.checkpoint.gguf_header import StoredTensor, read_header

_PIECE = 1 << 18  # values unpacked at once; the fastest of 2^14 ... 2^22 on SmolLM2
# transformers merges these into one parameter while it reads them, so they cannot wait until they are asked for
_MERGED = re.compile(r"_(exps|projs)\.weight$")
_SMALL = 1 << 18  # values; larger ones are never whole in float32 where another precision is asked for


class GgufTensors(NamedTuple):
    """What a model can be filled from, and what of the file it has no place for."""

    tensors: dict[str, Any]
    unused: tuple[str, ...]


def gguf_tensors(path: Path, config: Mapping[str, Any], model: Any) -> GgufTensors:
    """The tensors of the GGUF file `path` by their names in `model`, which may stand on the meta device.

    `config` is what transformers read from the metadata. Each value gives its tensor when indexed and moved.
    """
    header = read_header(path)
    architecture = header.metadata["general.architecture"].content
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=dict(config))
    names = _names(model, processor)
    at_once = {name for name in header.tensors if _waits_not(processor, name)}
    merged = _merged(
        path, {name: header.tensors[name] for name in header.tensors if name in at_once}, processor, names
    )
    lazy = {
        names[name]: _Blocks(path, name, stored, processor)
        for name, stored in header.tensors.items()
        if name in names and name not in at_once
    }
    unused = tuple(name for name in header.tensors if name not in names and name not in at_once)
    return GgufTensors(merged | lazy, unused)


class _Flat:
    """A module shown without its children.

    The table of names is built anew for every module that is looked into, and one level tells them all.
    """

    def __init__(self, module: Any, config: Any) -> None:
        self.config = config
        self.state_dict = module.state_dict

    def named_children(self) -> tuple[tuple[str, Any], ...]:
        return ()


def _names(model: Any, processor: Any) -> dict[str, str]:
    """GGUF name -> name in `model`; files converted from the base model carry names of that."""
    names: dict[str, str] = {}
    for child, module in (*model.named_children(), ("", model)):  # the model's own names come last and win
        inner = get_gguf_hf_weights_map(
            _Flat(module, model.config), processor, qual_name=f"{child}." if child else ""
        )
        names |= inner
    return names


class _Blocks:
    """A tensor that is unpacked when the loader moves it where it is to be."""

    def __init__(self, path: Path, name: str, stored: StoredTensor, processor: Any) -> None:
        self._path = path
        self._name = name
        self._stored = stored
        self._processor = processor

    def __getitem__(self, _: object) -> "_Blocks":
        return self

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Tensor:
        narrow = dtype not in {None, torch.float32} and prod(self._stored.shape) > _SMALL
        if dtype and narrow and _untouched(self._processor, self._name):
            return dequantised(self._path, self._stored, dtype).to(device=device)
        values = dequantised(self._path, self._stored).numpy()
        laid_out = self._processor.process(weights=values, name=self._name)
        return torch.from_numpy(np.ascontiguousarray(laid_out.weights)).to(device=device, dtype=dtype)


def _waits_not(processor: Any, name: str) -> bool:
    """Whether transformers must be shown the tensor while it reads; some families copy their head into place."""
    return bool(_MERGED.search(name)) or (name == "output.weight" and not _untouched(processor, name))


def _untouched(processor: Any, name: str) -> bool:
    """Whether transformers takes the tensor as it is stored; seen by showing it a small one of that name."""
    sample = np.arange(4, dtype=np.float32).reshape(2, 2)
    with suppress(Exception):  # one that lays out heads or experts cannot do it with two by two
        return processor.process(weights=sample, name=name).weights is sample
    return False


def dequantised(path: Path, stored: StoredTensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The values of one tensor in torch's shape."""
    values, size = GGML_QUANT_SIZES[stored.type]
    blocks, step = stored.bytes // size, max(1, _PIECE // values)
    out = torch.empty(blocks * values, dtype=dtype)
    with path.open("rb") as file:
        file.seek(stored.start)
        for first in range(0, blocks, step):
            packed = np.frombuffer(file.read(min(step, blocks - first) * size), dtype=np.uint8)
            piece = gguf.dequantize(packed.reshape(1, -1), stored.type).reshape(-1)
            out[first * values : first * values + piece.size] = torch.from_numpy(
                piece if piece.flags.writeable else piece.copy()
            )
    return out.reshape(stored.shape)


def _merged(
    path: Path, tensors: Mapping[str, StoredTensor], processor: Any, names: Mapping[str, str]
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, stored in tensors.items():
        result = processor.process(
            weights=dequantised(path, stored).numpy(),
            name=name,
            tensor_key_mapping=names,
            parsed_parameters={"tensors": found},  # where it leaves what it merged
        )
        if result.name in names:
            found[names[result.name]] = torch.from_numpy(np.ascontiguousarray(result.weights))
    return found
