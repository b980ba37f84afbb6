"""When an entry is due: its latest slot at a moment, and the names of slots."""

import datetime as dt
from zoneinfo import ZoneInfo

from croniter import croniter

from audit.identity import digest_of
from workers.schedule.entries import Entry


def latest(entry: Entry, now: dt.datetime) -> dt.datetime:
    """The last slot that is not after `now`, in UTC.

    Missed slots are never made up for one by one: of those that passed while no scheduler ran, only this one counts.
    """
    if entry.every is not None:
        seconds = int(now.timestamp()) // entry.every * entry.every
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    # croniter looks for a moment before the one it is given
    local = (now + dt.timedelta(microseconds=1)).astimezone(ZoneInfo(entry.timezone))
    found: dt.datetime = croniter(entry.cron or "", local).get_prev(dt.datetime)
    return found.astimezone(dt.UTC)


def slot_name(slot: dt.datetime) -> str:
    """The slot as a word, to the second, UTC."""
    return slot.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def slot_key(name: str, checkpoint: str, slot: str) -> str:
    """Digest that is the same for whoever asks: the job of this slot is made once."""
    return digest_of([name, checkpoint, slot])[:32]
