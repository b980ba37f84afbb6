"""Weights that stay on disk: each part of a model has its own in memory only while it runs.

A part is a block (an item of an `nn.ModuleList`), or a module beside the blocks that has weights, such as the
embeddings. Of a part that is not running the parameters are views of the checkpoint's files, as stored there.
"""

import ctypes
import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from audit.checkpoint.records import Checkpoint
from audit.errors import MachineFault, UnusableInput
from audit.models.allocator import give_back_freed, trim
from audit.models.completeness import stored_values
from audit.models.turns import pause, taking_turns

SPILLED: Final = 2**16  # bytes: of what a part puts out, smaller tensors stay in memory

SMALL: Final = 1 / 16  # of what weights may take: a table that stays in memory
WAITING: Final = 0.2  # of the memory may go to what passes hold that wait, and so much is that of one:
PASS: Final = 3 * 2**19  # bytes; measured: stacks, small tensors, what Python keeps
LEAST_AT_ONCE: Final = 8
WEIGHTS: Final = 0.4  # of the memory may go to weights; what is made of them takes the rest

_Buffers = dict[tuple[torch.Size, torch.dtype], list[Tensor]]
Weights = list[tuple[nn.Parameter, Tensor]]  # a parameter, and its values as they are computed with


class Streamed:
    """The parts of a model; they bring in their weights as they are entered, and those of the next ahead of time."""

    def __init__(
        self, model: nn.Module, dtype: torch.dtype, *, ahead: bool, most_held: int, at_once: int, spill: Path
    ) -> None:
        """`spill` is a folder on disk for what passes that wait for each other have computed so far."""
        self.bytes_read = 0
        self.at_once = at_once  # passes that may wait for each other
        self.most_held = most_held  # bytes
        self._dtype, self._ahead, self._spill = dtype, ahead, spill
        self._stored = {id(p): p.data for p in model.parameters()}
        self._held: dict[nn.Module, Weights] = {}
        self._running: dict[nn.Module, int] = {}  # parts, and how many passes are inside
        self._next: dict[nn.Module, nn.Module] = {}  # what followed a part in the last pass
        self._last: nn.Module | None = None
        self._free: _Buffers = {}
        self._coming: dict[nn.Module, Future[Weights]] = {}
        self._reader = ThreadPoolExecutor(1, "weights")
        for _, table in tables(model):
            table.register_forward_hook(self._looked_up)
        for _, part in entered(model):
            part.register_forward_pre_hook(self._enter)
            part.register_forward_hook(self._leave)
        model.register_forward_pre_hook(self._begin)
        give_back_freed()

    def release(self) -> None:
        """Let go of the weights of all parts that are not running."""
        free: _Buffers = defaultdict(list)
        for part in [part for part in self._held if not self._running.get(part)]:
            for parameter, values in self._held.pop(part):
                parameter.data = self._stored[id(parameter)]
                free[values.shape, values.dtype].append(values)
        self._free = free  # pages that are filled already: the next block is mostly as large
        trim()

    def _begin(self, _model: nn.Module, _args: Any) -> None:
        if not taking_turns():
            self._running.clear()  # of a pass that failed inside a part

    def _enter(self, part: nn.Module, _args: Any) -> None:
        if torch.is_grad_enabled():
            raise UnusableInput(
                "a model whose weights are streamed from disk (--max-memory) cannot be differentiated"
            )
        pause()
        if part not in self._held:
            self.release()
            self._hold(part)
        self._running[part] = self._running.get(part, 0) + 1

    def _leave(self, part: nn.Module, _args: Any, output: Any) -> Any:
        self._running[part] -= 1
        return self._spilled(output) if taking_turns() else None

    def _looked_up(self, part: nn.Module, _args: Any, output: Tensor) -> Tensor:
        self.bytes_read += output.numel() * next(part.parameters()).itemsize
        return output.to(self._dtype)

    def _hold(self, part: nn.Module) -> None:
        coming = self._coming.pop(part, None)
        weights = coming.result() if coming else self._read(part)
        for parameter, values in weights:
            parameter.data = values
            self.bytes_read += self._stored[id(parameter)].nbytes
        self._held[part] = weights
        if self._last is not None:
            self._next[self._last] = part
        self._last = part
        following = self._next.get(part)
        if self._ahead and following is not None and following not in self._coming:
            self._coming = {following: self._reader.submit(self._read, following)}

    def _read(self, part: nn.Module) -> Weights:
        weights: Weights = []
        free = self._free
        for parameter in part.parameters():
            stored = self._stored[id(parameter)]
            dtype = self._dtype if stored.is_floating_point() else stored.dtype
            buffers = free.get((stored.shape, dtype))
            own = buffers.pop() if buffers else torch.empty(stored.shape, dtype=dtype)
            weights.append((parameter, own.copy_(stored)))  # aligned as everywhere: the same sums
        return weights

    def _spilled(self, output: Any) -> Any:
        """The same with its large tensors on disk."""
        if isinstance(output, Tensor):
            return on_disk(output, self._spill) if output.nbytes >= SPILLED else output
        if type(output) is tuple:
            return tuple(map(self._spilled, output))
        return output


class Room(NamedTuple):
    """The memory that may be taken, and a folder on disk for what does not fit."""

    bytes: int
    folder: Path


def streams(checkpoint: Checkpoint, dtype: torch.dtype, most: int) -> bool:
    """Whether the weights leave too little of `most` bytes."""
    return stored_values(checkpoint) * dtype.itemsize > WEIGHTS * most


def needs_streaming(checkpoint: Checkpoint, dtype: torch.dtype, room: Room, *, device: str) -> bool:
    """Whether the weights leave too little of the room; UnusableInput where they must be loaded as a whole."""
    needed = stored_values(checkpoint) * dtype.itemsize
    if not streams(checkpoint, dtype, room.bytes):
        return False
    whole = _only_whole(checkpoint, device)
    if whole:
        raise UnusableInput(
            f"--max-memory: {whole}, and {needed / 1e9:.1f} GB of weights are more than {WEIGHTS:.0%} of it; "
            f"give {needed / WEIGHTS / 2**30:.1f}GiB, or save the model as safetensors for the CPU"
        )
    return True


def _only_whole(checkpoint: Checkpoint, device: str) -> str | None:
    """Why its weights cannot stay on disk."""
    if checkpoint.form != "safetensors":
        return f"weights in {checkpoint.form} are unpacked as a whole"
    if checkpoint.adapter:
        return "an adapter is merged into all weights at once"
    return None if device == "cpu" else f"weights are put on {device!r} as a whole"


def stream(model: nn.Module, dtype: torch.dtype, room: Room, views: set[int]) -> Streamed:
    """`model`, its weights views of files at these addresses, made to bring them in part by part.

    Raises UnusableInput where a part alone is too large, or weights are no views because they were merged.
    """
    limit = int(WEIGHTS * room.bytes)
    _put_on_disk(model, views, room.folder, limit)
    for _, table in tables(model):
        if table.weight.numel() * dtype.itemsize <= SMALL * limit:
            table.weight.data = table.weight.data.to(dtype)  # some families read it past its module
    for tensor in beside_parts(model):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    sizes = {
        name: sum(p.numel() for p in part.parameters()) * dtype.itemsize for name, part in entered(model)
    }
    name, largest = max(sizes.items(), key=lambda size: size[1])
    if largest > limit:
        raise UnusableInput(
            f"--max-memory: {name!r} alone takes {largest / 2**20:.0f} MiB, more than {WEIGHTS:.0%} of it; "
            f"give at least {math.ceil(largest / WEIGHTS / 2**20)}MiB"
        )
    ahead = 2 * largest <= limit
    return Streamed(
        model,
        dtype,
        ahead=ahead,
        most_held=(1 + ahead) * largest,
        at_once=max(LEAST_AT_ONCE, int(WAITING * room.bytes) // PASS),
        spill=room.folder,
    )


def _put_on_disk(model: nn.Module, views: set[int], folder: Path, limit: int) -> None:
    """What the loader made of several tensors of the files, such as all experts of a layer."""
    made = [p for p in model.parameters() if p.data_ptr() not in views]
    if (total := sum(parameter.nbytes for parameter in made)) > limit:
        raise UnusableInput(
            f"--max-memory: {total / 2**30:.1f} GiB of weights are merged as they are loaded, more than {WEIGHTS:.0%} of it; "
            f"give at least {total / WEIGHTS / 2**30:.1f}GiB"
        )
    for parameter in made:
        parameter.data = on_disk(parameter.data, folder)


def pieces(module: nn.Module, within: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The blocks, and the largest modules that hold no block, with their names."""
    for name, child in module.named_children():
        block = isinstance(module, nn.ModuleList) and not isinstance(child, nn.ModuleList)
        if not block and any(isinstance(inner, nn.ModuleList) for inner in child.modules()):
            yield from pieces(child, f"{within}{name}.")
        else:
            yield f"{within}{name}", child


def parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Those of them that have weights."""
    return ((name, piece) for name, piece in pieces(model) if next(piece.parameters(), None) is not None)


def tables(model: nn.Module) -> Iterator[tuple[str, nn.Embedding]]:
    """The parts that are looked up: of them only some rows are read, and as they are stored."""
    return ((name, part) for name, part in parts(model) if type(part) is nn.Embedding)


def entered(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts whose weights are brought in."""
    return ((name, part) for name, part in parts(model) if type(part) is not nn.Embedding)


def beside_parts(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that belong to no part."""
    within = {id(tensor) for _, part in parts(model) for tensor in part.parameters()}
    return (parameter for parameter in model.parameters() if id(parameter) not in within)


def on_disk(tensor: Tensor, folder: Path) -> Tensor:
    """A copy whose memory is a file in `folder`, gone when the tensor is; unseen by whoever watches operators."""
    whole = tensor if tensor.is_contiguous() else tensor.contiguous()
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            if hasattr(os, "posix_fallocate"):  # a disk that turns out full later would kill the process
                os.posix_fallocate(file.fileno(), 0, whole.nbytes)
        except OSError as error:
            raise MachineFault(
                f"{str(folder)!r} has no room for {whole.nbytes / 2**20:.0f} MiB that --max-memory keeps on disk: {error.strerror}"
            ) from error
        copy = torch.from_file(file.name, shared=True, size=whole.numel(), dtype=whole.dtype)
    ctypes.memmove(copy.data_ptr(), whole.data_ptr(), whole.nbytes)
    return copy.view(whole.shape)
