"""Leaves the tracer out of small modules in which there is nothing to find: it costs more than they do.

What a projection or a norm returns can be labelled from outside. Of which kinds of module that holds is learnt as they
run: one that has no parts, takes one tensor, and ran under watch without product, softmax or addition to the stream.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from types import MappingProxyType
from typing import Any, Final

from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from audit.models.tracing import Tracer

NO_KEYWORDS: Final[Mapping[str, Any]] = MappingProxyType({})


@contextmanager
def unwatched(model: nn.Module, tracer: Tracer) -> Iterator[None]:
    """Has `tracer` rest within those modules of `model`, for as long as it lasts."""
    rests = _Rests(tracer)
    handles = []
    for module in model.modules():
        if next(module.children(), None) is None:
            handles += [
                module.register_forward_pre_hook(rests.enter, with_kwargs=True),
                module.register_forward_hook(rests.leave, with_kwargs=True, prepend=True, always_call=True),
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Rests:
    """What is known of the modules of one pass.

    Hooks hear of passes in other threads too, and may have been taken off since: then they are given no keywords.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._plain: dict[type[nn.Module], bool] = {}  # kinds in which nothing is found, or something
        self._events = 0  # found before a module that is watched
        self._thread = get_ident()

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] = NO_KEYWORDS
    ) -> None:
        """A module without parts begins."""
        if not self._is_watched():
            return
        if _takes_one(args, kwargs) and (type(module) is nn.Linear or self._plain.get(type(module))):
            self._tracer.rest()
        else:
            self._events = self._tracer.events

    def leave(self, module: nn.Module, args: tuple[Any, ...], *kwargs_and_output: Any) -> None:
        """It ends, be it that it failed."""
        *kwargs, output = kwargs_and_output
        if self._tracer.resting and get_ident() == self._thread:
            self._tracer.resume(args, output, product=type(module) is nn.Linear)
        elif self._is_watched() and _takes_one(args, *kwargs):
            plain = self._tracer.events == self._events and isinstance(output, Tensor)
            self._plain[type(module)] = plain and self._plain.get(type(module), True)

    def _is_watched(self) -> bool:
        """Whether it is this pass that runs, and not another thread's or what a receiver makes of it."""
        return get_ident() == self._thread and _get_current_dispatch_mode() is self._tracer


def _takes_one(args: tuple[Any, ...], kwargs: Mapping[str, Any] = NO_KEYWORDS) -> bool:
    return len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
