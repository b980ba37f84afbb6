"""`attnaudit serve` as a whole: which processes, in which order, on which store."""

import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from audit.errors import MachineFault
from workers.connections import connected
from workers.serve import notice, valkey
from workers.serve.supervisor import Ward, end_all
from workers.settings import Settings, embedded_url, service_environment, socket_path
from workers.watching import http

_LOOK: Final = 0.1  # seconds between two looks at the wards
_ENDING: Final = 60.0  # seconds that a server of before may take to end
_GRACE: Final = 10.0  # seconds beyond a worker's own grace
_ELSEWHERE: Final = ("ATTNAUDIT_REDIS_URL_FILE", "ATTNAUDIT_REDIS_PASSWORD", "ATTNAUDIT_REDIS_PASSWORD_FILE")
_LOG = logging.getLogger(__name__)


class Service:
    """Server, workers and scheduler of one store."""

    def __init__(self, settings: Settings, *, root: Path, workers: int) -> None:
        self._settings, self._root, self._workers = settings, root, workers
        self._socket = socket_path(settings.store)
        self._data = settings.service_folder / "valkey"
        self._url = embedded_url(settings.store)
        self._over = threading.Event()

    def run(self) -> int:
        """Keep everything running until SIGINT or SIGTERM; 0."""
        valkey.prepare(self._socket, self._data)
        with _only_one(self._settings.service_folder):
            self._end_what_was_left()
            with _no_server(self._settings.service_folder) as lock:
                notice.leave(self._settings, self._root)
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: self._over.set())
                self._keep(self._wards(lock))
        return 0

    def _keep(self, wards: Sequence[Ward]) -> None:
        try:
            if not wards[0].start():
                raise MachineFault(
                    f"the embedded server does not start; see {str(self._data / 'server.log')!r}"
                )
            while not self._over.wait(_LOOK):
                for ward in wards:
                    ward.tend()
        finally:
            end_all(wards)

    def _wards(self, lock: int) -> tuple[Ward, ...]:
        """The server first: it is the last to end."""
        server = Ward(
            name="server",
            command=valkey.command(self._socket, self._data, program=self._settings.server or None),
            environment=service_environment({}),
            patience=_GRACE,
            holds=(lock,),
            serves=lambda is_alive: valkey.answers(self._url, is_alive=is_alive),
        )
        workers = (self._ward("worker", number) for number in range(1, self._workers + 1))
        return (server, self._ward("scheduler", 0), *workers)

    def _ward(self, verb: str, number: int) -> Ward:
        name = f"{verb}-{number}" if number else verb
        environment = service_environment(
            {
                "ATTNAUDIT_REDIS_URL": self._url,
                **dict.fromkeys(_ELSEWHERE, ""),
                "ATTNAUDIT_STORE": str(self._settings.store.absolute()),
                "ATTNAUDIT_MODEL_ROOT": str(self._root.absolute()),
                "ATTNAUDIT_WORKER": f"{name}-{os.getpid()}",
                "ATTNAUDIT_HTTP": http.shifted(self._settings.http, number),
            }
        )
        return Ward(
            name=name,
            command=[sys.executable, "-P", "-m", "workers", verb],
            environment=environment,
            patience=self._settings.grace + _GRACE,
        )

    def _end_what_was_left(self) -> None:
        """A server that outlived its supervisor, where the system ties no process to its parent."""
        client = connected(self._url, retries=0, timeout=1.0)
        with suppress(RedisError, OSError):
            client.ping()
            client.shutdown(nosave=True)  # the append-only file holds everything


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the store's service lock; MachineFault where another `serve` holds it."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineFault(f"another `attnaudit serve` uses the store {str(folder.parent)!r}") from None
        yield


@contextmanager
def _no_server(folder: Path) -> Iterator[int]:
    """A descriptor for the server to hold; waits until an earlier one, which held another, is gone.

    One that is still ending would take the new one's socket away and write into its file.
    """
    deadline = time.monotonic() + _ENDING
    with (folder / "server.lock").open("w") as file:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise MachineFault(
                    f"the server of an earlier `attnaudit serve` on {str(folder.parent)!r} does not end"
                )
            time.sleep(_LOOK)
        yield file.fileno()
