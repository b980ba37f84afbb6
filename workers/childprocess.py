"""A worker's hold on its fork server: starts it, gives it audits one at a time, hears events, kills."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from workers.wire import Event, Events, Order, Ready, read_some

_STEP: Final = 0.5  # seconds
_PATIENCE: Final = 5.0  # seconds for a fork server that was told to stop


class ChildProcess:
    """The process that audits run in; started when first needed and again whenever it is gone."""

    def __init__(self, program: str, *, warm: bool, environment: Mapping[str, str]) -> None:
        self._program, self._environment = program, dict(environment)
        self._warm = warm
        self._process: subprocess.Popen[bytes] | None = None
        self._events = Events()
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        """Process id of the fork server."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the fork server unless it lives; it needs seconds for its imports, which `ready` waits for."""
        if self._process and self._process.poll() is None:
            return
        self.close()
        mode = "warm" if self._warm else "cold"
        self._events, self._is_ready = Events(), False
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "workers.forkserver", self._program, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # a Ctrl-C on the terminal is the worker's to hear
        )

    def ready(self, *, over: threading.Event) -> bool:
        """Whether it takes work: waits for its imports, at most until it is gone or `over` is set."""
        self.start()
        while not self._is_ready and not over.is_set():
            events = self.hear(_STEP)
            if events is None:
                return False
            self._is_ready = any(isinstance(event, Ready) for event in events)
        return self._is_ready

    def tell(self, order: Order) -> None:
        """Send an order; one that cannot be delivered is answered by the end of the process."""
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.write(msgspec.json.encode(order) + b"\n")
                self._process.stdin.flush()

    def hear(self, seconds: float) -> list[Event] | None:
        """The events of the next `seconds`, as soon as there is one; None once the process is gone."""
        if not self._process or not self._process.stdout:
            return None
        source = self._process.stdout.fileno()
        if not select.select([source], [], [], seconds)[0]:
            return []
        if not (data := read_some(source)):
            return None
        return self._events.feed(data)

    def kill_child(self) -> None:
        """Have the audit under way killed; the fork server lives on."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End the process and whatever it runs."""
        process, self._process = self._process, None
        if not process:
            return
        for stream in (process.stdin, process.stdout):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
