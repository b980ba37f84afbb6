"""A schedule file: `[[schedule]]` tables with a cron line or an interval, checkpoints or globs, and a policy."""

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from croniter import croniter

from audit.errors import UnusableInput, unknown_name
from audit.results import Plan
from workers.helpers import check_shards
from workers.message import SCHEMA, Message, below_root, parsed

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHORTEST: Final = 60  # seconds; a checkpoint is not complete before it lies still that long
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One recurring audit."""

    name: str
    checkpoints: tuple[str, ...]  # names or globs below the model root
    cron: str | None = None
    every: int | None = None  # seconds, counted from 1970: the same slots whoever counts
    timezone: str = "UTC"  # of the cron line
    new: bool = False  # each matching checkpoint once, when it is complete, instead of all at each slot
    missed: Literal["latest", "skip"] = (
        "latest"  # after a time without scheduler: the latest slot late, or none
    )
    plan: dict[str, Any] = field(default_factory=dict)
    policy: str | None = None
    adapter: str | None = None
    priority: int = 3  # below what people wait for
    pdf: bool = True
    shards: int = 1  # workers that share each audit

    def message(self, checkpoint: str) -> Message:
        """The job for one checkpoint."""
        return parsed(
            {
                "schema": SCHEMA,
                "checkpoint": checkpoint,
                "plan": self.plan,
                "policy": self.policy,
                "adapter": self.adapter,
                "priority": self.priority,
                "pdf": self.pdf,
                "requested_by": f"schedule {self.name}",
            }
        )


_KEYS: Final = frozenset(entry.name for entry in fields(Entry))


def read(path: Path) -> tuple[Entry, ...]:
    """The entries of the file; UnusableInput names the first that is wrong."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnusableInput(f"schedule file {str(path)!r} cannot be read: {error}") from None
    tables = content.pop("schedule", None)
    if content or not isinstance(tables, list) or not 0 < len(tables) <= _MOST:
        raise UnusableInput(f"schedule file {str(path)!r} must hold [[schedule]] tables and nothing else")
    entries = tuple(_entry(table) for table in tables)
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise UnusableInput(f"schedule file {str(path)!r} names an entry twice: {sorted(names)}")
    return entries


def decoded(text: str) -> Entry:
    """The entry that was encoded."""
    return msgspec.json.decode(text, type=Entry)


def encoded(entry: Entry) -> str:
    """The entry as JSON."""
    return msgspec.json.encode(entry).decode()


def _entry(table: dict[str, Any]) -> Entry:
    name = table.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnusableInput(f"schedule name {name!r}: use up to 64 letters, digits, '.', '_' and '-'")
    for key in table:
        if key not in _KEYS:
            raise unknown_name(f"key in schedule {name!r}:", key, sorted(_KEYS))
    try:
        entry = msgspec.convert({**table, "every": _seconds(table.get("every"), name)}, Entry)
    except msgspec.ValidationError as error:
        raise UnusableInput(f"schedule {name!r}: {error}") from None
    _check(entry)
    return entry


def _check(entry: Entry) -> None:
    if (entry.cron is None) == (entry.every is None):
        raise UnusableInput(f"schedule {entry.name!r} needs either cron or every")
    if entry.cron is not None and (
        len(entry.cron.split()) != len("mhdmw") or not croniter.is_valid(entry.cron)
    ):
        raise UnusableInput(f"schedule {entry.name!r}: {entry.cron!r} is no cron line of five fields")
    if entry.every is not None and entry.every < _SHORTEST:
        raise UnusableInput(f"schedule {entry.name!r}: every is below {_SHORTEST} s")
    try:
        ZoneInfo(entry.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UnusableInput(f"schedule {entry.name!r}: unknown timezone {entry.timezone!r}") from None
    if not entry.checkpoints:
        raise UnusableInput(f"schedule {entry.name!r} names no checkpoints")
    for pattern in entry.checkpoints:
        below_root(pattern, f"schedule {entry.name!r}: checkpoint")
    unknown = set(entry.plan) - {option.name for option in fields(Plan)}
    if unknown:
        raise unknown_name(
            f"key in plan of schedule {entry.name!r}:", min(unknown), [f.name for f in fields(Plan)]
        )
    try:
        check_shards(entry.shards, entry.message("any").plan)
    except UnusableInput as error:
        raise UnusableInput(f"schedule {entry.name!r}: {error}") from None


def _seconds(value: Any, name: str) -> int | None:
    """`6h`, `15m` or a number of seconds."""
    if value is None or isinstance(value, int):
        return value
    number, unit = str(value)[:-1], str(value)[-1:]
    if not number.isdigit() or unit not in _UNITS:
        raise UnusableInput(f"schedule {name!r}: every = {value!r}; use e.g. '15m', '6h', '1d'")
    return int(number) * _UNITS[unit]
