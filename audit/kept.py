"""A file that several processes may write, one of them at a time.

It begins with a digest over what it belongs to and what it holds: another measurement's, a torn or an edited file is as
good as none.
"""

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_DIGEST: Final = 32  # bytes


class Kept:
    """Something called `identity` in `folder`; without a folder nothing is kept and nothing is known."""

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._path = folder / f"{identity}.part" if folder else None
        self._identity = identity

    @property
    def lasts(self) -> bool:
        """Whether what is written stays, as far as is known."""
        return self._path is not None

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Whether nobody else works on it during the block; a process that dies lets go of it."""
        try:
            lock = self._path.with_suffix(".lock").open("w") if self._path else None
        except OSError:  # nowhere to keep anything: nothing is shared
            lock = None
        if lock is None:
            yield True
            return
        with lock:
            yield _locked(lock.fileno())

    def read(self) -> bytes | None:
        """What was written last, if anything."""
        try:
            data = self._path.read_bytes() if self._path else b""
        except OSError:
            return None
        return data[_DIGEST:] if data[:_DIGEST] == self._digest(data[_DIGEST:]) else None

    def write(self, data: bytes) -> None:
        """Put `data` in the place of what was there, at once; where there is no room nothing is kept any more."""
        if self._path is None:
            return
        fresh = self._path.with_name(f".{self._path.name}.{time.monotonic_ns()}")
        try:
            fresh.write_bytes(self._digest(data) + data)
            fresh.replace(self._path)
        except OSError:  # a full disk will be told by what cannot do without it
            self._path = None
            with suppress(OSError):
                fresh.unlink()

    def _digest(self, data: bytes) -> bytes:
        return hashlib.sha256(self._identity.encode() + data).digest()


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: two may do the same work, which harms nothing
        return True
    return True
