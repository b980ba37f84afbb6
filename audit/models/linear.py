"""Linear maps of float32 on the CPU by oneDNN.

PyTorch leaves them to MKL, which on processors of another make than its own gets about half out of them. oneDNN also
gives a row of a map the same bits whatever rows stand beside it and however many threads run.
"""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
LINEAR: Final = frozenset({aten.mm.default, aten.addmm.default})

ROWS: Final = (1024, 128, 16)  # at once: what is compiled for a number of rows is kept, up to a megabyte each
OUTPUT: Final = 2**23  # numbers of a part, which is made beside the whole, beyond which fewer rows are taken
SMALL: Final = 2**14  # numbers of a matrix too small for the call to be worth it


class _Map(NamedTuple):
    rows: Tensor  # [row, in]
    weight: Tensor  # [out, in]
    bias: Tensor | None  # [out]

    @property
    def fits(self) -> bool:
        """Whether oneDNN takes it as it is."""
        parts = [part for part in self if part is not None]
        return (
            torch._C._has_mkldnn  # noqa: SLF001 - what tells it in public is untyped
            and torch._C._get_mkldnn_enabled()  # noqa: SLF001
            and all(part.layout == torch.strided and part.device.type == "cpu" for part in parts)
            and all(part.dtype == torch.float32 for part in parts)
            and self.rows.numel() > 0
            and self.weight.numel() >= SMALL
            and (self.weight.is_contiguous() or self.weight.mT.is_contiguous())
            and (self.bias is None or self._fitting(self.bias))
        )

    def _fitting(self, bias: Tensor) -> bool:
        return bias.shape == self.weight.shape[:1] and bias.is_contiguous()  # strides of it are not read


class ByOneDnn(TorchDispatchMode):  # type: ignore[no-untyped-call] # untyped in torch
    """Has them so where no tracer watches, for as long as it lasts."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: each operator would be wrapped once more, and the compiler imported for it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs an operator."""
        if func in LINEAR:
            return multiplied(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def multiplied(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """What an operator of `LINEAR` returns: `mm(rows, columns)` or `addmm(bias, rows, columns)`."""
    if not kwargs:
        bias, rows, columns = args if func is aten.addmm.default else (None, *args)
        found = _Map(rows, columns.mT, bias)
        if found.fits:
            return _mapped(*found)
    result: Tensor = func(*args, **kwargs)
    return result


def _mapped(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The map of all rows, in parts of few different sizes."""
    count = len(rows)
    if (size := _size(count, len(weight))) >= count:
        return _at_once(rows, size, weight, bias)
    whole, start = rows.new_empty(count, len(weight)), 0
    while start < count:
        size = _size(count - start, len(weight))
        whole[start : start + size] = _at_once(rows[start : start + size], size, weight, bias)
        start += size
    return whole


def _size(left: int, outputs: int) -> int:
    """The most rows to take of those that are left; a quarter of them may be padding, or more of the least."""
    sizes = [size for size in ROWS if 3 * size <= 4 * left]
    return next((size for size in sizes if size <= ROWS[1] or size * outputs <= OUTPUT), ROWS[-1])


def _at_once(rows: Tensor, size: int, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Of at most `size` rows, by what is compiled for that many."""
    padded = torch.nn.functional.pad(rows, (0, 0, 0, size - len(rows))) if len(rows) < size else rows
    found: Tensor = torch.ops.mkldnn._linear_pointwise(padded, weight, bias, "none", [], "")  # noqa: SLF001 - its name
    return found[: len(rows)]
