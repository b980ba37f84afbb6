"""The worker's one seat: takes jobs from the ledger, best first, until none is left."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from workers.attempt import Attempt, Ended
from workers.childprocess import ChildProcess
from workers.connections import TRANSIENT
from workers.ledger.ledger import Ledger
from workers.ledger.records import Claim
from workers.settings import Settings, child_environment

_SHORTEST_PAUSE: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 60.0
_LOG = logging.getLogger(__name__)


class Slot:
    """Runs one audit at a time; `idle_since` and `stopping` are for those who watch it."""

    def __init__(self, ledger: Ledger, settings: Settings, *, ended: Callable[[Ended], None]) -> None:
        self._ledger, self._settings, self._ended = ledger, settings, ended
        self._child = ChildProcess(
            settings.program, warm=settings.warm, environment=child_environment(settings)
        )
        self._seat = threading.Lock()
        self._pause = _SHORTEST_PAUSE
        self.stopping = threading.Event()
        self.idle_since: float | None = time.monotonic()
        self.heard = time.monotonic()  # the last hint

    def warm_up(self) -> None:
        """Start the fork server before the first job asks for it."""
        self._child.start()

    def work(self) -> int:
        """How many attempts were made; ends when nothing can run now, or after the time limit's worth of work."""
        self.heard = time.monotonic()
        if not self._seat.acquire(blocking=False):
            return 0  # whoever has the seat goes on until the ledger has nothing left
        try:
            self.idle_since = None
            return self._until_nothing_is_left()
        except TRANSIENT as error:
            _LOG.warning("no job could be taken, the ledger is out of reach: %s", error)
            return 0
        finally:
            self.idle_since = time.monotonic()
            self._seat.release()

    def close(self) -> None:
        """End the fork server and what it runs."""
        self.stopping.set()
        self._child.close()

    def _until_nothing_is_left(self) -> int:
        began, made = time.monotonic(), 0
        while not self.stopping.is_set() and time.monotonic() - began < self._settings.time_limit:
            if not self._can_take_a_job():
                break
            claim = self._ledger.claim(self._settings.worker, lease=self._settings.lease)
            if claim is None:
                break
            made += 1
            self._tell(self._attempt(claim))
        return made

    def _can_take_a_job(self) -> bool:
        """Whether there is one and a process to give it to; a process that cannot start must cost no job an attempt."""
        if not self._ledger.depth():
            return False
        if self._child.ready(over=self.stopping):
            self._pause = _SHORTEST_PAUSE
            return True
        if not self.stopping.is_set():
            _LOG.error(
                "the process for audits ended before it was ready; trying again in %.0f s", self._pause
            )
            self.stopping.wait(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return False

    def _attempt(self, claim: Claim) -> Ended:
        _LOG.info("job %s: attempt %d begins", claim.id, claim.attempt, extra={"job": claim.id})
        attempt = Attempt(
            claim, ledger=self._ledger, child=self._child, settings=self._settings, stopping=self.stopping
        )
        return attempt.run()

    def _tell(self, ended: Ended) -> None:
        _LOG.info(
            "job %s: attempt %s after %.3f s (own %.3f s), %.0f MiB at most",
            ended.job_id,
            ended.outcome,
            ended.seconds,
            ended.own_seconds,
            ended.peak_bytes / 2**20,
            extra={"job": ended.job_id, "outcome": ended.outcome, "seconds": round(ended.seconds, 3)},
        )
        self._ended(ended)
