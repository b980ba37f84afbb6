"""The service under attack: `attnaudit serve`, started again when it is killed itself, and a second scheduler."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from redis.exceptions import RedisError

from tests.chaos.plan import ATTEMPTS, VICTIMS, Chaos
from workers.connections import connected
from workers.serve.supervisor import Ward
from workers.settings import embedded_url

HERE = Path(__file__).parents[2]


class Service:
    """Its processes, found by what they are."""

    def __init__(self, chaos: Chaos, folder: Path) -> None:
        self._chaos, self._folder = chaos, folder
        self.store = folder / "audits"
        self.url = embedded_url(self.store)
        self.process: subprocess.Popen[bytes] | None = None
        self._second = Ward(
            name="second scheduler",
            command=["sh", "-c", 'exec "$0" -P -m workers scheduler 2>> "$LOG"', sys.executable],
            environment={
                **self._environment(),
                "ATTNAUDIT_REDIS_URL": self.url,
                "LOG": str(folder / "scheduler.log"),
            },
            patience=10.0,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["serve", "-o", str(self.store), "--models", str(self._chaos.models)]
        with (self._folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "workers", *words, "--workers", str(self._chaos.workers)],
                stderr=log,
                stdout=log,
                env=self._environment(),
            )
        until(self.answers, seconds=60, what="the service does not start")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "OMP_NUM_THREADS": "1",
            "ATTNAUDIT_THREADS": "1",
            "ATTNAUDIT_STORE": str(self.store),
            "ATTNAUDIT_MODEL_ROOT": str(self._chaos.models),
            "ATTNAUDIT_PROGRAM": self._chaos.program,
            "ATTNAUDIT_SERVER": self._chaos.server,
            "ATTNAUDIT_MAX_ATTEMPTS": str(ATTEMPTS),
            **self._chaos.settings,
        }

    def answers(self) -> bool:
        """Whether its server does."""
        client = connected(self.url, retries=0, timeout=2.0)
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False
        finally:
            client.close()

    def note(self, line: str) -> None:
        """Write down what is done to it."""
        with (self._folder / "blows.log").open("a") as log:
            log.write(f"{dt.datetime.now(dt.UTC).isoformat(timespec='milliseconds')} {line}\n")

    def logs(self) -> str:
        """The last lines of what was struck and of what the service said of it."""
        files = (self._folder / name for name in ("blows.log", "serve.log"))
        return "\n".join("\n".join(file.read_text().splitlines()[-100:]) for file in files if file.exists())

    def tend(self) -> None:
        """Keep the second scheduler running, as another machine would."""
        self._second.tend()

    def kill(self) -> None:
        """`serve` itself, which takes everything with it; it is started again at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.start()

    def found(self) -> dict[str, list[psutil.Process]]:
        """The service's processes, by what they are."""
        found: dict[str, list[psutil.Process]] = {kind: [] for kind in VICTIMS}
        assert self.process is not None
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                found.setdefault(_kind(process), []).append(process)
        if self._second.process:
            found["scheduler"].append(psutil.Process(self._second.process.pid))
        return found

    def stop(self) -> None:
        """Ctrl-C."""
        self._second.end()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)


def _kind(process: psutil.Process) -> str:
    line = process.cmdline()
    if "workers.forkserver" in line:
        parent = process.parent()
        return "child" if parent and "workers.forkserver" in parent.cmdline() else "fork server"
    if "scheduler" in line:
        return "scheduler"
    if "worker" in line:
        return "worker"
    return "server" if any("-server" in word for word in line[:1]) else "other"


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait for it; AssertionError with `what` after that many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
