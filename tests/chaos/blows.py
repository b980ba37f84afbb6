"""Kills something at random moments, and times how long the work that it interrupted stood still."""

import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
from redis.exceptions import RedisError

from audit import store as stores
from audit.errors import MachineFault
from tests.chaos.plan import VICTIMS, Chaos
from tests.chaos.service import Service
from workers.client import Client
from workers.connections import connected
from workers.jobs import Job

_LOOK = 0.1  # seconds
_MOMENT = 0.001  # seconds between two looks for a publication under way
_LONGEST_WAIT = 5.0  # seconds for one


class Returns:
    """Times how long what a blow interrupted stood still; `seconds` per kind of blow."""

    def __init__(self, service: Service) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._service = service
        self._pending: list[tuple[str, float, Callable[[Client], bool]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def job(self, kind: str, before: Job) -> None:
        """From now until this job's next attempt begins, or it has ended."""
        self._expect(kind, lambda c: (job := c.status(before.id)).attempt > before.attempt or job.is_final)

    def consuming(self, kind: str) -> None:
        """From now until some job begins; the server's clock is this machine's."""
        moment = time.time()
        self._expect(kind, lambda c: any((job.started or 0) > moment for job in c.jobs("running")))

    def _expect(self, kind: str, is_back: Callable[[Client], bool]) -> None:
        self._pending.append((kind, time.monotonic(), is_back))

    def _watch(self) -> None:
        with Client(self._service.url) as client:
            while not self._over.wait(_LOOK):
                for entry in list(self._pending):
                    kind, began, is_back = entry
                    with suppress(MachineFault):
                        if is_back(client):
                            self.seconds[kind].append(time.monotonic() - began)
                            self._service.note(f"{kind} made good after {self.seconds[kind][-1]:.1f} s")
                            self._pending.remove(entry)


class Blows:
    """The hand that strikes."""

    def __init__(self, service: Service, returns: Returns, chaos: Chaos, *, pause: float) -> None:
        self._service, self._returns, self._chaos, self._pause = service, returns, chaos, pause
        self._dice = random.Random(chaos.seed)
        self.fallen: Counter[str] = Counter()

    def fall(self, over: threading.Event) -> None:
        """Until it is over, or enough have fallen."""
        due = time.monotonic()
        while not over.wait(_LOOK):
            self._service.tend()
            if time.monotonic() < due or self.fallen.total() >= self._chaos.most_blows:
                continue
            (kind,) = self._dice.choices(list(VICTIMS), weights=list(VICTIMS.values()))
            with suppress(psutil.Error, RedisError, OSError, MachineFault):  # it was down already
                if self._strike(kind):
                    self.fallen[kind] += 1
                    self._service.note(f"{kind} struck")
            due = time.monotonic() + self._dice.expovariate(1 / self._pause)

    def _strike(self, kind: str) -> bool:
        """Whether anything was hit."""
        if kind == "connections":
            return _cut_connections(self._service.url)
        if kind == "serve":
            for job in self._running():
                self._returns.job(kind, job)
            self._service.kill()
            return True
        found = self._service.found()
        if kind == "at publication":
            return self._at_publication(found)
        if not found[kind]:
            return False
        victim = self._dice.choice(found[kind])
        interrupted = self._running_on(victim) if kind == "worker" else None
        victim.kill()
        if interrupted:
            self._returns.job(kind, interrupted)
        if kind == "server":
            self._returns.consuming(kind)
        return True

    def _at_publication(self, found: dict[str, list[psutil.Process]]) -> bool:
        """Between the manifest and the rename, in which a report becomes visible or does not."""
        kind = self._dice.choice(["child", "worker", "server"])
        deadline = time.monotonic() + _LONGEST_WAIT
        while time.monotonic() < deadline:
            if any((folder / stores.MANIFEST).exists() for folder in stores.attempts(self._service.store)):
                pids = _children(found["fork server"]) if kind == "child" else [p.pid for p in found[kind]]
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
                return bool(pids)
            time.sleep(_MOMENT)
        return False

    def _running(self) -> tuple[Job, ...]:
        with Client(self._service.url) as client:
            return client.jobs("running")

    def _running_on(self, victim: psutil.Process) -> Job | None:
        name = victim.environ().get("ATTNAUDIT_WORKER")
        return next((job for job in self._running() if job.worker == name), None)


def _cut_connections(url: str) -> bool:
    client = connected(url, retries=0, timeout=2.0)
    client.client_kill_filter(_type="normal", skipme=True)
    client.close()
    return True


def _children(parents: Iterable[psutil.Process]) -> list[int]:
    """As psutil's, without reading the whole process table: the moment passes."""
    files = (Path(f"/proc/{p.pid}/task/{p.pid}/children") for p in parents)
    return [int(pid) for file in files if file.exists() for pid in file.read_text().split()]
