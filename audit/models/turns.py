"""Calls that take turns: each runs until it pauses, then the next does, and so on round and round.

So many batches go through a model in step: each runs its next part and waits until all others have.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Stopped(BaseException):
    """Another call failed: nobody waits for this one any more."""


class _Turn(threading.Thread, Generic[T]):
    """A call in a thread of its own, which runs only while somebody waits in `resume`."""

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._stopped = False
        self.over = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """The call, from its first turn on."""
        self._go.acquire()
        _HERE.turn = self
        try:
            if not self._stopped:
                self.result = self._call()
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            self.error = error
        finally:
            self.over = True
            self._paused.release()

    def resume(self) -> None:
        """Let it run until it pauses or ends, from its beginning the first time; raises what it raised."""
        if self.ident is None:
            self.start()
        self._go.release()
        self._paused.acquire()
        if self.error is not None:
            raise self.error

    def pause(self) -> None:
        """Wait for the next turn; called from within."""
        self._paused.release()
        self._go.acquire()
        if self._stopped:
            raise _Stopped

    def stop(self) -> None:
        """End it where it waits, if it ever began."""
        self._stopped = True
        if self.ident is not None:
            self._go.release()
            self.join()


class _Here(threading.local):
    turn: "_Turn[Any] | None" = None


_HERE = _Here()


def taking_turns() -> bool:
    """Whether this is a call among others."""
    return _HERE.turn is not None


def pause() -> None:
    """Let the others come here too; nothing where there are none."""
    if _HERE.turn is not None:
        _HERE.turn.pause()


def in_turns(calls: Sequence[Callable[[], T]]) -> Iterator[T]:
    """The results, in order; raises what a call raised, having ended the others."""
    turns = [_Turn(call) for call in calls]
    waiting = deque(turns)
    try:
        while waiting:
            turn = waiting.popleft()
            turn.resume()
            if not turn.over:
                waiting.append(turn)
    finally:
        for turn in waiting:
            turn.stop()
    for turn in turns:
        yield turn.result  # type: ignore[misc] # it is over, and raised nothing
