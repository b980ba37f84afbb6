"""Puts a model on a device, or spreads its blocks over all devices of a kind where none has room for all weights."""

import gc
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from accelerate import dispatch_model
from torch import nn

from audit.checkpoint.wording import first_line
from audit.errors import MachineFault, UnusableInput
from audit.models.passes import is_of_memory
from audit.models.streaming import pieces

WEIGHTS: Final = 0.8  # of the memory that is free; what is computed takes the rest


def placed(model: Any, device: str) -> Any:
    """`model` on `device`; where that has no number, on the first of its kind with room for it, or else on all of them.

    Raises:
        UnusableInput: there is no such device, or it has no float64, in which sums are taken.
        MachineFault: all of them together are too small.
    """
    if device == "cpu":
        return model
    try:
        where = _room_for(model, device)
        numbered = where if isinstance(where, str) else f"{device}:{min(where.values())}"
        torch.zeros(1, dtype=torch.float64, device=numbered)
        return model.to(where) if isinstance(where, str) else _spread(model, device, where)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        if is_of_memory(error):
            raise MachineFault(
                f"device {device!r} has too little memory: {first_line(error)}; use a narrower --dtype"
            ) from error
        raise UnusableInput(f"device {device!r} cannot be used: {first_line(error)}; try 'cpu'") from error


def placed_like(model: Any, other: Any) -> Any:
    """`model` beside `other`, or spread as that is.

    Raises:
        MachineFault: too little memory is left there.
    """
    if hasattr(other, "hf_device_map"):
        return placed(model, other.device.type)
    if other.device.type != "cpu":
        gc.collect()
        room = _room(torch.get_device_module(other.device), other.device.index or 0)
        if room is not None and room < _size(model):
            raise _too_large(model, [room])
    return placed(model, str(other.device))


def used(model: Any) -> tuple[str, ...]:
    """The devices that a model is spread over; none where it is on one."""
    places = {*getattr(model, "hf_device_map", {}).values()}
    return tuple(sorted(places, key=lambda place: torch.device(place).index))


def _room_for(model: nn.Module, device: str) -> str | dict[str, int]:
    """The device that can hold all of `model`, or the number of one for each of its pieces."""
    kind, needed = torch.device(device), _size(model)
    module = torch.get_device_module(kind)
    if kind.index is not None or module.device_count() < 2:
        return device
    gc.collect()  # a model that was spread is part of a cycle
    rooms: dict[int, int] = {}
    for index in range(module.device_count()):
        room = _room(module, index)
        if room is not None and needed <= room:
            return f"{device}:{index}"
        rooms |= {} if room is None else {index: room}
    return _shares(model, rooms) if rooms else device


def _room(module: Any, index: int) -> int | None:
    """Bytes that weights may take on a device; None where it does not say."""
    try:
        module.empty_cache()  # what PyTorch keeps for itself counts as free
        return int(WEIGHTS * module.mem_get_info(index)[0])
    except (AttributeError, RuntimeError):
        return None


def _shares(model: nn.Module, rooms: Mapping[int, int]) -> dict[str, int]:
    """The device of each piece: the blocks in order, as much on each as its room allows for; the rest on one of them.

    Families add up what several modules beside the blocks give, such as embeddings of tokens and of places: these stay
    together, which no device map of accelerate's would know.
    """
    blocks = {name: _size(block) for name, block in _blocks(model)}
    needed = _size(model)
    beside = needed - sum(blocks.values())
    mains = [index for index, room in rooms.items() if room >= beside]
    for share in (needed / max(1, sum(rooms.values())), math.inf):
        for main in mains:
            order = {main: rooms[main], **rooms}
            if (filled := _filled(blocks, order, beside, share=share)) is not None:
                return dict.fromkeys((name for name, _ in pieces(model)), main) | filled
    raise _too_large(model, [*rooms.values()])


def _filled(
    blocks: Mapping[str, int], rooms: Mapping[int, int], beside: int, *, share: float
) -> dict[str, int] | None:
    """The device of each block, on each up to that share of its room; the first holds `beside` already."""
    order = iter(rooms.items())
    device, room = next(order)
    taken = total = beside
    goal, found = share * room, {}
    for name, size in blocks.items():
        while taken + size > room or total + size / 2 > goal:
            following = next(order, None)
            if following is None:
                return None
            device, room = following
            taken, goal = 0, goal + share * room
        found[name], taken, total = device, taken + size, total + size
    return found


def _too_large(model: nn.Module, rooms: Sequence[int]) -> MachineFault:
    blocks = sum(_size(block) for _, block in _blocks(model))
    return MachineFault(
        f"{_gigabytes(_size(model))} of weights, {_gigabytes(_size(model) - blocks)} of them beside the blocks, do not fit "
        f"on devices with room for {', '.join(map(_gigabytes, rooms))}: use a narrower --dtype, or audit on the CPU, "
        "where --max-memory may be less than the weights"
    )


def _spread(model: Any, device: str, shares: Mapping[str, int]) -> Any:
    places, blocks = {name: f"{device}:{index}" for name, index in shares.items()}, dict(_blocks(model))
    first = next((place for name, place in places.items() if name not in blocks), places[min(places)])
    within = {inner for name in shares for inner in model.get_submodule(name).modules()}
    for module in set(model.modules()) - within:
        module._apply(lambda tensor: tensor.to(first), recurse=False)  # noqa: SLF001 - what `to` is made of
    loose = {
        name: first for name in model.state_dict() if not any(name.startswith(f"{at}.") for at in places)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The following device_map keys")  # the loose ones are no modules
        return dispatch_model(model, places | loose, main_device=first)


def _blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The blocks that can be apart from all else.

    They share no weights, since a module runs where its weights are; and their list is one of its kind: lists as long
    beside it hold what a family adds up itself.
    """
    uses = Counter(tensor for _, piece in pieces(model) for tensor in _tensors(piece))
    for name, piece in pieces(model):
        above = model.get_submodule(name.rpartition(".")[0])
        in_list = isinstance(above, nn.ModuleList) and not _has_twins(model, above)
        if in_list and all(uses[tensor] == 1 for tensor in _tensors(piece)):
            yield name, piece


def _has_twins(model: nn.Module, items: nn.ModuleList) -> bool:
    """Whether other lists of as many stand beside it."""
    around = next(module for module in model.modules() if items in {*module.children()})
    if isinstance(around, nn.ModuleList):
        return False
    return sum(isinstance(each, nn.ModuleList) and len(each) == len(items) for each in around.children()) > 1


def _size(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in _tensors(module))


def _tensors(module: nn.Module) -> set[torch.Tensor]:
    """Its weights and buffers."""
    return {*module.parameters(), *module.buffers()}


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
