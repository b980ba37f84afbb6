"""How work reports that it advances: stages with a length, and a silent default."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Something that shows stages; `stage` yields a function to call with the number of steps done."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Advance]:
        """Open a stage of `total` steps."""
        ...  # pragma: no cover


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:  # noqa: ARG002 - the protocol's names
        """Open a stage nobody watches."""
        yield lambda _: None
