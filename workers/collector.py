"""Writes the report of each batch whose last job has ended; every worker and scheduler does, whoever asked for it."""

import datetime as dt
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from audit import store as stores
from audit.batch import FOLDER, Batch, Row, State, batch_of, row_of
from audit.errors import AuditError, MachineFault
from audit.report.batch import publish_batch
from workers.batches import Batches
from workers.connections import TRANSIENT
from workers.jobs import Job
from workers.ledger.ledger import Ledger
from workers.settings import Settings

_EVERY: Final = 1.0  # seconds
_LEFT: Final = 3_600.0  # seconds after which a half-written report belongs to nobody
_LOG = logging.getLogger(__name__)


class Collector:
    """Looks at open batches from a thread of its own; several at once publish the same report once."""

    def __init__(self, ledger: Ledger, settings: Settings, *, work: Callable[[], None]) -> None:
        self._ledger, self._settings, self._work = ledger, settings, work
        self._batches = Batches(ledger, namespace=settings.namespace)
        self._unfinished: dict[str, int] = {}  # batch -> number of its first job that had not ended
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Begin looking."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look under way."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            try:
                self.collect()
            except (*TRANSIENT, AuditError, OSError) as error:
                _LOG.warning("collecting batches is put off: %s", error)

    def collect(self) -> int:
        """One look at every open batch; how many reports were written."""
        written = 0
        for batch in self._batches.unfinished():
            if self._batches.enter(batch, limit=self._settings.queue_limit):
                self._work()
            if self._is_over(batch) and self._batches.may_write(batch):
                self._write(batch)
                written += 1
        return written

    def _is_over(self, batch: str) -> bool:
        """Whether its last job has ended; each job that has is looked at once."""
        first, count = self._unfinished.get(batch, 1), self._batches.count(batch)
        while first <= count and self._batches.has_ended(batch, first):
            first += 1
        self._unfinished[batch] = first
        return first > count

    def _write(self, batch: str) -> None:
        content = self._batches.content(batch)
        opened = self._batches.opened(batch)
        made = batch_of(
            content.name,
            [
                self._row(name, job)
                for name, job in zip(content.names, self._batches.jobs(batch), strict=True)
            ],
            started=dt.datetime.fromtimestamp(opened, dt.UTC).isoformat(timespec="seconds"),
            seconds=time.time() - opened,
        )
        folder = self._published(made, pdf=content.pdf)
        self._unfinished.pop(batch, None)
        self._batches.close(batch, made.batch_id, made.exit_code, keep=self._settings.retention)
        _LOG.info("batch %s of %d checkpoints: %s", batch, len(made.rows), folder)
        self._sweep()

    def _published(self, batch: Batch, *, pdf: bool) -> Path:
        try:
            return publish_batch(batch, self._settings.store, pdf=pdf)
        except AuditError as error:
            if not pdf:
                raise
            _LOG.error("batch %s has no PDF: %s", batch.batch_id, error)
            return publish_batch(batch, self._settings.store, pdf=False)

    def _row(self, name: str, job_id: str) -> Row:
        try:
            job = self._ledger.job(job_id)
            if job.audit_id and job.state == "published":
                return row_of(name, stores.read(self._settings.store / job.audit_id))
            return _without_audit(name, job)
        except AuditError as error:
            return Row(checkpoint=name, state="failed", reason=str(error), exit_code=MachineFault.exit_code)

    def _sweep(self) -> None:
        """Remove what a killed process left of a report."""
        for folder in stores.attempts(self._settings.store / FOLDER):
            if time.time() - folder.stat().st_mtime > _LEFT:
                shutil.rmtree(folder, ignore_errors=True)


def _without_audit(name: str, job: Job) -> Row:
    ends: dict[str, State] = {"cancelled": "cancelled", "quarantined": "quarantined"}
    return Row(
        checkpoint=name,
        state=ends.get(job.state, "failed"),
        reason=job.reason or "no reason was recorded",
        exit_code=MachineFault.exit_code if job.exit_code is None else job.exit_code,
    )
