"""The scheduler process: fires due slots, sweeps, and stands by for the watchers; two at once do no harm."""

import datetime as dt
import logging
import signal
import threading
import time
from typing import Final

from workers.app import make_app
from workers.collector import Collector
from workers.connections import TRANSIENT, connected, reachable
from workers.hints import hint
from workers.ledger.ledger import Ledger
from workers.schedule.ticker import Ticker
from workers.settings import Settings
from workers.sweeper import Sweeper
from workers.watching import http
from workers.watching.http import Health
from workers.watching.metrics import Metrics

_TICK: Final = 1.0  # seconds
_TIDY: Final = 3_600.0
_SILENT: Final = 60.0
_LOG = logging.getLogger(__name__)


class Scheduler:
    """Ticks until told to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        redis = connected(settings.redis_url)
        reachable(redis, settings.redis_url)
        self.ledger = Ledger(redis, namespace=settings.namespace)
        self._app = make_app(settings)
        self._ticker = Ticker(self.ledger, settings)
        self.sweeper = Sweeper(self.ledger, settings, waiting=lambda _: None)  # idle workers hint themselves
        self.collector = Collector(self.ledger, settings, work=lambda: hint(self._app))
        self._metrics = Metrics(self.ledger)
        self._ticked = time.monotonic()
        self._over = threading.Event()

    def run(self) -> int:
        """Tick until SIGTERM or SIGINT; 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._over.set())
        self._watch()
        self.sweeper.start()
        self.collector.start()
        _LOG.info("scheduler ready")
        tidied = time.monotonic()
        while not self._over.wait(_TICK):
            self._tick()
            if time.monotonic() - tidied > _TIDY:
                tidied = time.monotonic()
                self._ticker.forget_old()
        self.sweeper.stop()
        self.collector.stop()
        return 0

    def _tick(self) -> None:
        try:
            if self._ticker.tick(dt.datetime.now(dt.UTC)):
                hint(self._app)
            self._ticked = time.monotonic()
        except TRANSIENT as error:
            _LOG.warning("the queue is out of reach: %s", error)
        except OSError as error:
            _LOG.error("the store cannot be written: %s", error)

    def _watch(self) -> None:
        if self._settings.http:
            http.serve(self._settings.http, registry=self._metrics.registry, live=self.live, ready=self.live)

    def live(self) -> Health:
        """Whether it ticks."""
        silent = time.monotonic() - self._ticked
        return Health(silent < _SILENT, f"ticked {silent:.0f} s ago")
