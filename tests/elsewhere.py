"""Two devices that this machine has not: what lies on one is held on the CPU, and meets nothing that lies elsewhere.

As on a GPU, tensors of two places in one operator are an error, and so is making an array of one. What such a device
computes is what the CPU computes, so that a model must give the same numbers there.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "elsewhere"
COUNT = 2
CPU = torch.device("cpu")

aten = torch.ops.aten
BETWEEN = {aten.copy_.default, aten._to_copy.default, aten.to.device, aten.to.other, aten._copy_from.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}  # also by what lies on the CPU
JOINED = {aten.cat.default, aten.stack.default}
MADE = (
    "arange",
    "arange.start",
    "arange.start_step",
    "empty.memory_format",
    "empty_strided",
    "eye",
    "eye.m",
    "randperm",
)


class Elsewhere(Tensor):
    """A tensor that says that it lies at `place`, and is held on the CPU."""

    held: Tensor
    place: torch.device

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor, place: torch.device) -> Self:
        made = Tensor._make_subclass(
            cls, held, held.requires_grad, dispatch_device=True, device_for_backend_keys=place
        )
        made.held, made.place = held, place
        return made

    def tolist(self) -> Any:
        """Numbers, which PyTorch fetches by itself."""
        return self.held.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        """An error."""
        raise TypeError(f"can't convert {self.place} device type tensor to numpy")

    def __format__(self, how: str) -> str:
        return format(self.held, how)

    def __repr__(self, **_: Any) -> str:
        return f"{self.held!r} on {self.place}"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return ran(func, args, kwargs or {})


def ran(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What an operator gives, at the place of what it was given or where it was told to."""
    if func is torch.ops.prim.device.default:
        return args[0].place
    leaves = tree_leaves((args, kwargs))
    given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    meeting = tree_leaves((args[0], args[2:], kwargs)) if func in INDEXED else given
    places = {_place(tensor) for tensor in meeting if isinstance(tensor, Tensor) and _counts(func, tensor)}
    if len(places) > 1 and func not in BETWEEN:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found {places}")
    own = {id(tensor.held): tensor for tensor in given if isinstance(tensor, Elsewhere)}
    place = _wanted(func, leaves) or next((tensor.place for tensor in own.values()), CPU)
    if torch.Tag.inplace_view in func.tags:  # of the shape that the tensor itself has, too
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
    args, kwargs = tree_map(_held, (tuple(args), dict(kwargs)))
    if func is aten.histc.default:  # of integers on any device but the CPU
        out = func(args[0].double(), *args[1:], **kwargs).to(args[0].dtype)
    else:
        out = func(*args, **kwargs)

    def put(tensor: Tensor) -> Tensor:
        same = own.get(id(tensor))
        if same is not None and same.place == place:
            return same
        tensor = tensor if same is None else tensor.clone()
        return tensor if place == CPU else Elsewhere(tensor, place)

    return tree_map_only(Tensor, put, out)


def _counts(func: Any, tensor: Tensor) -> bool:
    """Whether it must lie where the others do: a single number of the CPU may go anywhere, but into no sequence."""
    return tensor.dim() > 0 or _place(tensor) != CPU or func in JOINED


def _place(tensor: Tensor) -> torch.device:
    return tensor.place if isinstance(tensor, Elsewhere) else CPU


def _held(leaf: Any) -> Any:
    if isinstance(leaf, torch.device):
        return CPU
    return leaf.held if isinstance(leaf, Elsewhere) else leaf


def _wanted(func: Any, leaves: Sequence[Any]) -> torch.device | None:
    """Where the result shall lie."""
    if func is aten.to.other:
        return _place(leaves[1])
    wanted = next((leaf for leaf in leaves if isinstance(leaf, torch.device)), None)
    if wanted is None or wanted == CPU:
        return wanted
    if wanted.index is not None and wanted.index >= COUNT:
        raise RuntimeError(f"{NAME} has no device {wanted.index}")
    return torch.device(NAME, wanted.index or 0)


class _Module(_DummyBackendModule):
    """`torch.elsewhere`."""

    kept: tuple[torch.library.Library, ...]
    free = (2**40,) * COUNT  # bytes

    def device_count(self) -> int:
        return COUNT

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]  # and autocast leaves everything as it is

    def empty_cache(self) -> None:
        pass

    def mem_get_info(self, index: int) -> tuple[int, int]:
        return self.free[index], 2**40


@lru_cache(maxsize=1)
def there() -> _Module:
    """`torch.elsewhere`; from now on the devices are there."""
    module = _Module()
    _setup_privateuseone_for_python_backend(NAME, module)
    library = torch.library.Library("aten", "IMPL")
    for name in MADE:
        packet, _, overload = name.partition(".")
        func = getattr(getattr(aten, packet), overload or "default")
        library.impl(name, _made(func), "PrivateUse1")
    library.impl("_copy_from", _copied, "PrivateUse1")
    every = torch.library.Library("_", "IMPL")
    every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    module.kept = library, every  # taken back where nobody holds them
    return module


def _made(func: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: ran(func, args, kwargs)


def _copied(source: Tensor, target: Tensor, _: bool = False) -> Tensor:
    _held(target).copy_(_held(source))
    return target
