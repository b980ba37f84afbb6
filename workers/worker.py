"""A worker process: Celery brings hints, the slot follows them, the sweeper and the watchers stand by."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Final

from celery import Celery, signals

from workers import intake
from workers.app import WORK, hints, make_app, submissions
from workers.attempt import Ended
from workers.collector import Collector
from workers.connections import connected, reachable, warn_of_weaknesses
from workers.hints import hint
from workers.ledger.ledger import Ledger
from workers.settings import Settings
from workers.slot import Slot
from workers.sweeper import Sweeper
from workers.watching import http
from workers.watching.http import Health
from workers.watching.metrics import Metrics

DEAF_AFTER: Final = 45.0  # seconds idle beside waiting work
FAREWELL: Final = 15.0  # seconds beyond the grace
_SILENT_SWEEPS: Final = 4
_LOG = logging.getLogger(__name__)


class Worker:
    """Everything a worker is made of."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        redis = connected(settings.redis_url)
        reachable(redis, settings.redis_url)
        warn_of_weaknesses(redis)
        self.ledger = Ledger(redis, namespace=settings.namespace)
        self.app = make_app(settings)
        self.slot = Slot(self.ledger, settings, ended=self._ended)
        self.sweeper = Sweeper(self.ledger, settings, waiting=self._waiting)
        self.collector = Collector(self.ledger, settings, work=lambda: hint(self.app))
        self.metrics = Metrics(self.ledger)
        self.waiting_since: float | None = None
        self._celery: Any = None
        register(self.app, self.slot)
        intake.install(
            self.app,
            ledger=self.ledger,
            queue=submissions(settings),
            limit=settings.queue_limit,
            work=lambda: hint(self.app),
        )

    def run(self) -> int:
        """Work until told to stop; Celery's exit code."""
        signals.worker_shutting_down.connect(self._stopping, weak=False)
        signals.worker_ready.connect(self._ready, weak=False)
        _say_who_keeps_audits_from_the_network()
        self.watch()
        self.slot.warm_up()
        self.sweeper.start()
        self.collector.start()
        name = f"{self._settings.worker}@{self._settings.namespace}"
        self._celery = self.app.Worker(
            hostname=name,
            queues=[hints(self._settings).name],
            without_gossip=True,  # workers know nothing of each other; the ledger knows all of them
            without_mingle=True,
            quiet=True,  # no banner in the log
            loglevel=logging.getLogger().level or logging.INFO,
        )
        try:
            self._celery.start()
        finally:
            self.sweeper.stop()
            self.collector.stop()
            self.slot.close()
        return int(self._celery.exitcode or 0)

    @property
    def is_deaf(self) -> bool:
        """Whether work waits, this worker is idle, and none of the hints sent since has reached it."""
        return self.waiting_since is not None and time.monotonic() - self.waiting_since > DEAF_AFTER

    def _ready(self, **_: Any) -> None:
        _LOG.info("ready: jobs below %s", self._settings.model_root, extra={"worker": self._settings.worker})
        hint(self.app)

    def _stopping(self, **_: Any) -> None:
        _LOG.info("stopping; an audit under way has %.0f s", self._settings.grace)
        self.slot.stopping.set()
        # without its server Celery would wait for it for ever; the lease runs out as after any death
        last = threading.Timer(self._settings.grace + FAREWELL, os._exit, (1,))
        last.daemon = True
        last.start()

    def watch(self) -> None:
        """Answer instruments where the settings name an address."""
        if self._settings.http:
            http.serve(self._settings.http, registry=self.metrics.registry, live=self.live, ready=self.ready)

    def live(self) -> Health:
        """Whether jobs are consumed: not while work waits beside an idle worker. Redis being away is not its fault."""
        if self.is_deaf:
            return Health(False, f"work has waited beside an idle worker for more than {DEAF_AFTER:.0f} s")
        return Health(True, "busy" if self.slot.idle_since is None else "idle")

    def ready(self) -> Health:
        """Whether the ledger answers, jobs are taken and the worker is not about to end."""
        silent = time.monotonic() - self.sweeper.last
        if self.slot.stopping.is_set():
            return Health(False, "stopping")
        if silent > _SILENT_SWEEPS * self._settings.sweep:
            return Health(False, f"the ledger has been out of reach for {silent:.0f} s")
        return Health(True, "ready")

    def _ended(self, ended: Ended) -> None:
        self.metrics.ended(ended)

    def _waiting(self, depth: int) -> None:
        """Idle beside waiting work: send a hint; none heard after many: this worker is deaf and must be replaced."""
        if not depth or self.slot.idle_since is None:
            self.waiting_since = None
            return
        if self.waiting_since is None or self.slot.heard > self.waiting_since:
            self.waiting_since = time.monotonic()  # what waits may be a twin of what runs elsewhere
        hint(self.app)
        if self.is_deaf:
            _LOG.error("work waits and no hint arrives: this worker ends, so that it is started again")
            os.kill(os.getpid(), signal.SIGTERM)


def _say_who_keeps_audits_from_the_network() -> None:
    command = [sys.executable, "-P", "-m", "workers.isolation"]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:  # noqa: S603 - our own module
        _LOG.warning(
            "the kernel lets no process leave the network here: audits are kept from it in Python only; "
            "let a firewall or a network policy do the rest"
        )


def register(app: Celery, slot: Slot) -> None:
    """The one task of a worker: follow a hint."""

    @app.task(name=WORK, ignore_result=True)  # type: ignore[untyped-decorator]
    def work() -> int:
        return slot.work()
