"""Knows which module of a model is running, and in which block it stands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


def numbered(name: str, time: int) -> str:
    """The name of the `time`-th run of a module: blocks that share their weights run the same one several times."""
    return name if time == 1 else f"{name}@{time}"


class Location:
    """The modules that are running, outermost first, by their names in the model.

    A block is an item of an `nn.ModuleList`; the outermost one that is running counts.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        on_enter: Callable[[str], None],
        on_exit: Callable[[str, Any], None],
    ) -> None:
        self._names = {id(module): name for name, module in model.named_modules()}
        self._items = {id(item) for m in model.modules() if isinstance(m, nn.ModuleList) for item in m}
        self._running: list[nn.Module] = []
        self._block: nn.Module | None = None
        self._thread = get_ident()  # hooks hear of passes in other threads too
        self._on_enter = on_enter  # of a block: its name
        self._on_exit = on_exit  # of a block: its name and output

    @property
    def module(self) -> nn.Module:
        """The innermost module running."""
        return self._running[-1]

    @property
    def name(self) -> str:
        """Name of the innermost module running; empty for the model itself."""
        return self._names[id(self._running[-1])] if self._running else ""

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follows the model for as long as it lasts; hooks that hang on its modules stay as they are."""
        handles = register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, _: Any) -> None:
        if id(module) not in self._names or get_ident() != self._thread:
            return
        self._running.append(module)
        if self._block is None and id(module) in self._items:
            self._block = module
            self._on_enter(self._names[id(module)])

    def _leave(self, module: nn.Module, _: Any, output: Any) -> None:
        if id(module) not in self._names or get_ident() != self._thread:
            return
        self._running.pop()
        if self._block is module:
            self._block = None
            self._on_exit(self._names[id(module)], output)
