"""Keeps a set of processes running: whatever dies is started again, sooner the longer it had lived."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

_LOG = logging.getLogger(__name__)
_SHORTEST: Final = 0.2  # seconds before a start after a death
_LONGEST: Final = 15.0
_SOUND: Final = 10.0  # seconds of life that make a process sound again


@dataclass(slots=True, kw_only=True)
class Ward:
    """One process to keep."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    patience: float  # seconds to end after SIGTERM, before SIGKILL
    serves: Callable[[Callable[[], bool]], bool] = lambda _: (
        True
    )  # given whether it lives: waits until it serves
    holds: Sequence[int] = ()  # descriptors it keeps open as long as it lives
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    pause: float = _SHORTEST
    due: float = field(default=0.0)

    def start(self) -> bool:
        """Whether it serves now; it is tied to this process and ends when we do, however we do."""
        tied = [sys.executable, "-P", "-m", "workers.tied", str(os.getpid()), *self.command]
        self.process = process = subprocess.Popen(  # noqa: S603 - our own programs
            tied,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            pass_fds=self.holds,
            start_new_session=True,  # Ctrl-C on the terminal is for the supervisor, which ends its wards in order
        )
        self.began = time.monotonic()
        _LOG.info("%s runs, process %d", self.name, process.pid)
        return self.serves(lambda: process.poll() is None)

    def tend(self) -> None:
        """Start it again where it died and its pause is over."""
        if self.process is None:
            if time.monotonic() >= self.due:
                self.start()
        elif (code := self.process.poll()) is not None:
            lived = time.monotonic() - self.began
            self.pause = _SHORTEST if lived > _SOUND else min(2 * self.pause, _LONGEST)
            self.due = time.monotonic() + self.pause
            self.process = None
            _LOG.warning("%s ended (%s) after %.0f s; it is started again", self.name, _how(code), lived)

    def ask_to_end(self) -> None:
        """SIGTERM."""
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def end(self) -> None:
        """Wait until it ended; by force once its patience is over."""
        process, self.process = self.process, None
        if not process:
            return
        process.terminate()
        try:
            process.wait(self.patience)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def end_all(wards: Sequence[Ward]) -> None:
    """End the wards, the last one first; those before the first wait for nobody are asked at once."""
    for ward in wards[1:]:
        ward.ask_to_end()
    for ward in reversed(wards):
        ward.end()
        _LOG.info("%s ended", ward.name)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
