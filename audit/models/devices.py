"""Puts a model on a device, or on all devices of its kind where one has too little room for its weights."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from accelerate import dispatch_model
from torch import nn

from audit.checkpoint.wording import first_line
from audit.errors import MachineFault, UnusableInput
from audit.models.streaming import pieces

WEIGHTS: Final = 0.8  # of the memory that is free; what is computed takes the rest


def placed(model: Any, device: str) -> Any:
    """`model` on `device`; where that names a kind of several, and the first is too small, block by block on them.

    Raises:
        UnusableInput: there is no such device.
        MachineFault: all of them together are too small.
    """
    if device == "cpu":
        return model
    try:
        rooms = _rooms(device)
        if len(rooms) < 2 or _size(model) <= rooms[0]:
            return model.to(device)
        return _spread(model, device, _shares(model, rooms))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnusableInput(f"device {device!r} cannot be used: {first_line(error)}; try 'cpu'") from error


def placed_like(model: Any, other: Any) -> Any:
    """`model` where `other` is, as a whole or spread."""
    spread = hasattr(other, "hf_device_map")
    return placed(model, other.device.type if spread else str(other.device))


def _rooms(device: str) -> dict[int, int]:
    """What may go to weights on each device of the kind, in bytes; nothing where one of them is named."""
    kind = torch.device(device)
    module = torch.get_device_module(kind)
    if kind.index is not None or not hasattr(module, "mem_get_info"):
        return {}
    return {index: int(WEIGHTS * module.mem_get_info(index)[0]) for index in range(module.device_count())}


def _shares(model: nn.Module, rooms: Mapping[int, int]) -> dict[str, int]:
    """The device of each piece: the blocks in order, so that all are equally full; what lies beside them on the first.

    Families add up what comes from several modules beside the blocks, and within a block.
    """
    blocks = {name: _size(block) for name, block in _blocks(model)}
    needed, largest = _size(model), max(blocks.values(), default=0)
    fair = needed / sum(rooms.values())
    shares = {name: 0 for name, _ in pieces(model)}
    beside = needed - sum(blocks.values())
    device, used = 0, beside
    for name, size in blocks.items():
        while device in rooms and used + size > min(rooms[device], fair * rooms[device] + largest):
            device, used = device + 1, 0
        shares[name], used = device, used + size
    if beside > rooms[0] or device not in rooms:
        raise MachineFault(
            f"{needed / 1e9:.1f} GB of weights do not fit on {len(rooms)} devices that have room for "
            f"{', '.join(f'{room / 1e9:.1f}' for room in rooms.values())} GB of them: use a narrower --dtype, or "
            "audit on the CPU with --max-memory"
        )
    return shares


def _spread(model: Any, device: str, shares: Mapping[str, int]) -> Any:
    first = f"{device}:0"
    within = {inner for name in shares for inner in model.get_submodule(name).modules()}
    for module in set(model.modules()) - within:
        module._apply(lambda tensor: tensor.to(first), recurse=False)  # noqa: SLF001 - what `to` is made of
    places = {name: f"{device}:{index}" for name, index in shares.items()}
    loose = {
        name: first for name in model.state_dict() if not any(name.startswith(f"{at}.") for at in places)
    }
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # the loose ones are no modules
        return dispatch_model(model, places | loose, main_device=first)


def _blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The blocks that share no weights with anything else: a module runs where its weights are."""
    uses = Counter(tensor for _, piece in pieces(model) for tensor in _tensors(piece))
    for name, piece in pieces(model):
        block = isinstance(model.get_submodule(name.rpartition(".")[0]), nn.ModuleList)
        if block and all(uses[tensor] == 1 for tensor in _tensors(piece)):
            yield name, piece


def _size(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in _tensors(module))


def _tensors(module: nn.Module) -> set[torch.Tensor]:
    """Its weights and buffers."""
    return {*module.parameters(), *module.buffers()}
