"""Resident memory of an audit's process and of everything it started."""

from contextlib import suppress
from typing import Final

import psutil

_RELATIVES_EVERY: Final = 10  # looks; finding descendants reads the whole process table


class Watchdog:
    """Follows one process."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._relatives: list[psutil.Process] = []
        self._looks = 0

    def follow(self, pid: int) -> None:
        """Begin with this process."""
        with suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(pid)

    def look(self) -> int:
        """Bytes resident now; 0 where there is nothing to see."""
        if not self._process:
            return 0
        if self._looks % _RELATIVES_EVERY == 0:
            with suppress(psutil.Error):
                self._relatives = self._process.children(recursive=True)
        self._looks += 1
        return sum(map(_resident, (self._process, *self._relatives)))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
