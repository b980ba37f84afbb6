"""Steps of an audit that are made once, by whichever of several processes comes to them first.

All of them go through the same audit from top to bottom. What takes long is cut into steps that depend on nothing but
the audit itself; what one process made of a step the others read, and so does an attempt that comes after a death.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import torch

from audit.identity import digest_of
from audit.kept import Kept

T = TypeVar("T")
_FORMAT: Final = 1
PAUSE: Final = 0.1  # seconds between two looks at what others are at


class Unwanted(Exception):
    """The audit that was helped with is over."""


class _Place(NamedTuple):
    """Where the processes of one audit meet."""

    folder: Path | None  # None: there is one process, and nothing outlives it
    identity: str = ""  # of the audit
    helping: bool = False  # somebody else publishes it, and removes the folder then


_ALONE: Final = _Place(None)
_HERE: ContextVar[_Place] = ContextVar("_HERE", default=_ALONE)


class Step(NamedTuple, Generic[T]):
    """Something to make; `about` tells it from all other steps of the audit, in plain numbers and words."""

    about: Sequence[object]
    make: Callable[[], T]


@contextmanager
def sharing(folder: Path | None, identity: str, *, helping: bool = False) -> Iterator[None]:
    """The steps of the audit of that identity are shared in `folder` for as long as it lasts.

    One that helps stops as soon as the folder is gone: who publishes the audit removes it.
    """
    if folder:
        with suppress(OSError):  # a full disk will be told by what cannot do without it
            folder.mkdir(parents=True, exist_ok=True)
    before = _HERE.set(_Place(folder, identity, helping))
    try:
        yield
    finally:
        _HERE.reset(before)


def shared_in() -> Path | None:
    """The folder in which this audit's processes meet."""
    return _HERE.get().folder


def made(kind: type[T], steps: Sequence[Step[T]], advance: Callable[[int], None] = lambda _: None) -> list[T]:
    """What each of the steps makes, in order; `advance` is told of each.

    Steps that others are at are waited for; if they fail to finish, they are made here. What a step makes is the same
    whether it was made here or read. A step must not contain itself.

    Args:
        kind: what a step makes: a type that msgspec knows, with numpy arrays (but no numpy scalars).
        steps: in the order in which they are best made.
        advance: called with 1 for each.

    Raises:
        Unwanted: this process helped with an audit that is over.
    """
    files = [_file(kind, step) for step in steps]
    found: dict[int, T] = {}
    while len(found) < len(steps):
        known = len(found)
        for number, (step, file) in enumerate(zip(steps, files, strict=True)):
            if number not in found and (one := _one(kind, step, file)):
                (found[number],) = one
                advance(1)
        if len(found) == known:
            time.sleep(PAUSE)
    return [found[number] for number in range(len(steps))]


def once(kind: type[T], about: Sequence[object], make: Callable[[], T]) -> T:
    """What `make` makes: one step."""
    return made(kind, [Step(about, make)])[0]


def _file(kind: type[Any], step: Step[Any]) -> Kept:
    here = _HERE.get()
    threads = torch.get_num_threads()  # as many, or sums differ in their last bit
    return Kept(here.folder, digest_of([_FORMAT, here.identity, threads, str(kind), *step.about]))


def _one(kind: type[T], step: Step[T], file: Kept) -> list[T]:
    """What the step makes; nothing where another process is at it."""
    refuse_unwanted()
    if known := _known(kind, file):
        return known
    with file.taken() as mine:
        if not mine:
            return []
        if known := _known(kind, file):  # somebody finished it since
            return known
        data = msgspec.msgpack.encode(step.make(), enc_hook=_plain)
        file.write(data)
        return [_decoded(kind, data)]


def _known(kind: type[T], file: Kept) -> list[T]:
    try:
        return [] if (data := file.read()) is None else [_decoded(kind, data)]
    except msgspec.MsgspecError:  # of another kind of step, long ago
        return []


def _decoded(kind: type[T], data: bytes) -> T:
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_array)


def refuse_unwanted() -> None:
    """Raises Unwanted where this process helps with an audit that is over."""
    here = _HERE.get()
    if here.helping and here.folder is not None and not here.folder.is_dir():
        raise Unwanted


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    raise NotImplementedError(f"a step makes {type(value).__name__}, which cannot be kept")


def _array(_kind: type[Any], value: Any) -> Any:
    dtype, shape, data = value
    return np.frombuffer(bytearray(data), dtype).reshape(shape)
