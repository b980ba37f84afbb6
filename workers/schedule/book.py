"""Where schedules and fired slots are kept: in Redis for the running service, in the store against its loss."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from redis import Redis

from audit.errors import UnusableInput
from workers import files
from workers.schedule.entries import Entry, decoded, encoded

_KEEP: Final = 40 * 86_400.0  # seconds that a fired slot is remembered; new checkpoints are for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An entry and since when it is in force; slots before that are none of its."""

    entry: str  # JSON
    since: float

    @property
    def content(self) -> Entry:
        """The entry itself."""
        return decoded(self.entry)


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """The schedules as the store has them."""

    version: int = 0
    entries: dict[str, Applied] = {}


class Schedules:
    """The schedules of a running service."""

    def __init__(self, redis: Redis, *, namespace: str) -> None:
        self._redis, self._key = redis, f"{namespace}:schedules"
        self._version = f"{namespace}:schedules:version"

    def apply(self, entries: tuple[Entry, ...], *, now: float | None = None) -> None:
        """Add the entries, or replace those of the same name; one that did not change keeps its start."""
        known = self.all()
        fresh = {}
        for entry in entries:
            old = known.get(entry.name)
            since = old.since if old and old.content == entry else (time.time() if now is None else now)
            fresh[entry.name] = _json(Applied(entry=encoded(entry), since=since))
        self._write(fresh)

    def remove(self, name: str) -> None:
        """Remove one; UnusableInput if there is none of that name."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hdel(self._key, name)
            pipe.incr(self._version)
            removed, _ = pipe.execute()
        if not removed:
            raise UnusableInput(f"no schedule {name!r}; `attnaudit schedule list` shows them")

    def all(self) -> dict[str, Applied]:
        """The schedules in force, by name."""
        found: Any = self._redis.hgetall(self._key)
        return {name: msgspec.json.decode(text, type=Applied) for name, text in sorted(found.items())}

    def mirrored(self, path: Path) -> dict[str, Applied]:
        """The schedules in force, after making the copy in the store equal; a Redis that lost them gets them back."""
        copy = _copy(path)
        if self._standing() < copy.version:
            self._give_back(copy)
        version = (
            self._standing()
        )  # asked before what it stands for: the copy may be too young, never too old
        current = Copy(version=version, entries=self.all())
        if current != copy:
            files.replace(path, msgspec.json.format(msgspec.json.encode(current), indent=2))
        return current.entries

    def _standing(self) -> int:
        """How often the schedules were changed; less than the store knows of where Redis was lost."""
        return int(str(self._redis.get(self._version) or 0))

    def _give_back(self, copy: Copy) -> None:
        """What the store has; of an entry that was applied again since, what is new."""
        known = self.all()
        changed = {name for name, applied in known.items() if _differs(applied, copy.entries.get(name))}
        lost = {name: _json(applied) for name, applied in copy.entries.items() if name not in changed}
        self._write(lost, at_least=copy.version)

    def _write(self, texts: dict[Any, Any], *, at_least: int = 0) -> None:
        with self._redis.pipeline(transaction=True) as pipe:
            if texts:
                pipe.hset(self._key, mapping=texts)
            pipe.incrby(self._version, at_least + 1)
            pipe.execute()


class Fired:
    """Slots that fired, a file each in the store: written after the job was accepted, read before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def knows(self, key: str) -> bool:
        """Whether that slot fired."""
        return (self._folder / key).exists()

    def record(self, key: str, **facts: object) -> None:
        """Remember the slot; on disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        files.replace(self._folder / key, msgspec.json.encode(facts))

    def forget_old(self) -> None:
        """Remove slots that can never be the latest again."""
        before = time.time() - _KEEP
        for path in self._folder.glob("[0-9a-f]*"):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)


def _copy(path: Path) -> Copy:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Copy)
    except (FileNotFoundError, msgspec.DecodeError):
        return Copy()


def _differs(applied: Applied, known: Applied | None) -> bool:
    return known is None or applied.content != known.content


def _json(applied: Applied) -> str:
    return msgspec.json.encode(applied).decode()
