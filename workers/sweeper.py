"""Finds what nobody looks after: attempts without a worker, jobs without a hint, folders without an attempt."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from typing import Final

from redis.exceptions import RedisError

from audit import store as stores
from audit.errors import AuditError
from audit.outcomes import VERDICT_CODES
from workers.jobs import Death
from workers.ledger.ledger import Ledger
from workers.ledger.records import Expired
from workers.schedule import dated
from workers.settings import Settings

_FOLDERS_EVERY: Final = 6  # sweeps
_PATIENCE: Final = 5.0  # seconds for a last sweep, before what it speaks through is closed
_UNTOUCHED: Final = 86_400.0  # seconds after which nobody is expected to go on measuring
_LOG = logging.getLogger(__name__)


class Sweeper:
    """Sweeps in a thread of its own; any number of processes may do so at once."""

    def __init__(self, ledger: Ledger, settings: Settings, *, waiting: Callable[[int], None]) -> None:
        self._ledger, self._settings, self._waiting = ledger, settings, waiting
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self.last = time.monotonic()  # when the ledger was last seen

    def start(self) -> None:
        """Begin sweeping."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the sweep under way and end; one that hangs is not waited for."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        sweeps = 0
        while not self._over.wait(self._settings.sweep):
            try:
                self.sweep(folders=sweeps % _FOLDERS_EVERY == 0)
                self.last = time.monotonic()
            except (
                RedisError,
                OSError,
            ) as error:  # a server that is full or read-only as well: sweeping never ends
                _LOG.warning("sweeping is put off: %s", error)
            sweeps += 1

    def sweep(self, *, folders: bool = True) -> None:
        """One look at everything."""
        # after a restart of the server its workers get the time to renew what ran out meanwhile; half a lease is
        # more than two heartbeats, and no longer: a server that restarts often must not keep lost jobs waiting
        if self._ledger.uptime() > self._settings.lease / 2:
            for lost in self._ledger.expired():
                self._take_back(lost)
        if folders:
            self._remove_folders()
            self._ledger.forget(older_than=self._settings.retention)
        self._waiting(self._ledger.depth())

    def _take_back(self, lost: Expired) -> None:
        """Publish what was published unsaid; queue or quarantine the rest."""
        if lost.granted and stores.exists(self._settings.store, lost.granted):
            self._say_published(lost, lost.granted)
            return
        death = Death(
            attempt=lost.attempt,
            how=f"its worker {lost.owner} was lost",
            stage=lost.stage,
            peak_bytes=lost.peak,
            seconds=round(time.time() - lost.started / 1000, 1),
            worker=lost.owner,
        )
        state = self._ledger.expire(lost, death, limit=self._settings.max_attempts)
        if state != "held":
            _LOG.warning("job %s: %s; now %s", lost.id, death, state, extra={"job": lost.id})

    def _say_published(self, lost: Expired, audit_id: str) -> None:
        try:
            audit = stores.read(self._settings.store / audit_id)
        except AuditError as error:
            _LOG.error("job %s: its audit cannot be read: %s", lost.id, error)
            return
        job = self._ledger.job(lost.id)
        dated.leave(
            self._settings.store,
            job=lost.id,
            requested_by=job.requested_by,
            checkpoint=job.checkpoint,
            audit_id=audit_id,
        )
        self._ledger.publish(
            lost.id,
            lost.token,
            audit_id=audit_id,
            verdict=audit.verdict,
            exit_code=VERDICT_CODES[audit.verdict],
        )

    def _remove_folders(self) -> None:
        """Remove folders of attempts that are over, and what nobody went on measuring.

        Those of `attnaudit run` carry no label and are left alone.
        """
        for folder, name in stores.attempts(self._settings.store).items():
            job_id, _, rest = name.partition(".")
            number = rest.partition(".")[0]
            if rest and number.isdigit() and not self._is_running(job_id, int(number)):
                shutil.rmtree(folder, ignore_errors=True)

        for folder in stores.partials(self._settings.store):
            if time.time() - folder.stat().st_mtime > _UNTOUCHED:
                shutil.rmtree(folder, ignore_errors=True)

    def _is_running(self, job_id: str, attempt: int) -> bool:
        try:
            job = self._ledger.job(job_id)
        except AuditError:
            return False
        return job.state == "running" and job.attempt == attempt
