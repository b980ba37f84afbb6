"""Tells the C library what to do with memory that is freed: metrics free large buffers by the thousand."""

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

# numbers of glibc's malloc.h; another C library has no such door, or ignores them
_TRIM_THRESHOLD: Final = -1  # bytes at the end of the heap that are kept
_MMAP_THRESHOLD: Final = -3  # bytes from which a buffer is mapped by itself, and unmapped when it is freed
_ARENA_MAX: Final = -8  # heaps, of which threads would have one each

# Aligned buffers leave small ends beside them. Where each thread keeps such ends for itself, holes between buffers never
# join and are never large enough for the next: a third more memory. Read when a process starts, and only then.
ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"})

RARE: Final = 2**28  # bytes of a buffer, as of many logits, that is given back: holes of that size add up


def begin_anew() -> None:
    """Replace this process by one that has `ENVIRONMENT` from its start, unless whoever started it chose another.

    What it did before runs again. A program that is read from a pipe cannot, and goes on as it is.
    """
    piped = sys.argv[0] in ("", "-") or sys.argv[0].startswith("/dev/fd/")
    chosen = not ENVIRONMENT.keys().isdisjoint(os.environ)  # noqa: TID251 - the C library's, not ours
    if sys.platform == "linux" and sys.executable and not chosen and not piped:
        with suppress(OSError):
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ENVIRONMENT})  # noqa: S606, TID251


def keep_freed() -> None:
    """Have it kept for the next buffer: the system gives fresh pages zeroed, at the price of filling them twice.

    To be called before threads start: each would keep to a heap of its own, and hold there what it no longer needs.
    """
    _set({_ARENA_MAX: 1, _MMAP_THRESHOLD: RARE, _TRIM_THRESHOLD: 2**30})


def give_back_freed() -> None:
    """Have it given back as soon as it can be."""
    _set({_ARENA_MAX: 1, _MMAP_THRESHOLD: 2**22, _TRIM_THRESHOLD: 2**22})


def trim() -> None:
    """Give back what lies free between what is in use."""
    if found := getattr(ctypes.CDLL(None), "malloc_trim", None):
        found(0)


def _set(options: dict[int, int]) -> None:
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for option, value in options.items():
            mallopt(option, value)
