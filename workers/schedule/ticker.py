"""Fires due slots; any number of tickers may run, each slot becomes one job."""

import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from audit.errors import AuditError
from audit.identity import digest_of
from workers.helpers import call_helpers
from workers.ledger.ledger import Ledger
from workers.schedule.book import Applied, Fired, Schedules
from workers.schedule.complete import fingerprint, incomplete
from workers.schedule.dated import SLOT
from workers.schedule.entries import Entry
from workers.schedule.slots import latest, slot_key, slot_name
from workers.settings import Settings

_PUNCTUAL: Final = dt.timedelta(minutes=5)  # later than that, a slot counts as missed
_LOG = logging.getLogger(__name__)


class Ticker:
    """Looks at the schedules of a service."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings
        self._schedules = Schedules(ledger.redis, namespace=settings.namespace)
        self._slots = Fired(settings.service_folder / "slots")
        self._seen = Fired(settings.service_folder / "seen")
        self._done: set[str] = set()  # keys this ticker knows to have fired
        self._told: dict[str, str] = {}
        self._looked: dict[str, dt.datetime] = {}

    def tick(self, now: dt.datetime) -> int:
        """Fire what is due at `now`; how many jobs that made."""
        schedules = self._schedules.mirrored(self._settings.service_folder / "schedules.json")
        return sum(self._fire(applied, now) for applied in schedules.values())

    def forget_old(self) -> None:
        """Tidy the record of slots; call it now and then."""
        self._slots.forget_old()
        self._done.clear()

    def _fire(self, applied: Applied, now: dt.datetime) -> int:
        entry = applied.content
        slot = latest(entry, now)
        if not self._is_due(applied, entry, slot, now):
            return 0
        self._looked[entry.name] = slot
        return sum(self._fire_one(entry, name, path, slot, now) for name, path in self._named(entry))

    def _is_due(self, applied: Applied, entry: Entry, slot: dt.datetime, now: dt.datetime) -> bool:
        if entry.new:  # looks once a slot; what is not complete then has the next one
            return self._looked.get(entry.name) != slot
        if entry.missed == "skip" and now - slot > _PUNCTUAL:
            return False
        return slot.timestamp() >= applied.since

    def _fire_one(self, entry: Entry, name: str, path: Path, slot: dt.datetime, now: dt.datetime) -> int:
        fired = self._seen if entry.new else self._slots
        try:
            word = digest_of(fingerprint(path))[:16] if entry.new else slot_name(slot)
        except OSError:
            return 0  # being written
        key = slot_key(entry.name, name, word)
        if key in self._done or fired.knows(key):
            self._done.add(key)
            return 0
        if reason := incomplete(path, now=now.timestamp()):
            self._say(entry, name, reason)
            return 0
        try:
            job, message = f"{SLOT}{key}", entry.message(name)
            # the ledger first: a slot that is recorded and has no job would be lost
            accepted = self._ledger.accept(job, message, slot=key)
        except AuditError as error:
            self._say(entry, name, str(error))
            return 0
        # also where an earlier tick was cut short here; one that was over by then needs none
        why = call_helpers(self._ledger.accept, job, message, shards=entry.shards)
        if why and accepted.outcome == "accepted":
            _LOG.info("schedule %s: %s: %s", entry.name, name, why, extra={"schedule": entry.name})
        fired.record(key, schedule=entry.name, checkpoint=name, slot=word, job=job)
        self._done.add(key)
        return int(accepted.outcome == "accepted")

    def _named(self, entry: Entry) -> Iterator[tuple[str, Path]]:
        """The checkpoints of an entry below the model root: names as they are, globs as they match now."""
        root = self._settings.model_root
        if root is None:
            return
        for pattern in entry.checkpoints:
            matches = sorted(root.glob(pattern)) if any(c in pattern for c in "*?[") else [root / pattern]
            for path in matches:
                yield path.relative_to(root).as_posix(), path

    def _say(self, entry: Entry, name: str, reason: str) -> None:
        """Each reason once, not at every tick."""
        what = f"{entry.name} {name}"
        if self._told.get(what) != reason.partition(" ")[0]:
            self._told[what] = reason.partition(" ")[0]
            _LOG.info("schedule %s: %s waits: %s", entry.name, name, reason, extra={"schedule": entry.name})
