"""Batches in the queue: one write accepts a whole batch, its jobs are made from it and one report when the last ends."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from audit.errors import UnusableInput
from audit.identity import digest_of
from workers.jobs import FINAL, State
from workers.ledger.ledger import Ledger
from workers.message import Message, encoded, parsed

_WRITING: Final = 60  # seconds one process has for a report before another may try


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; each message is that of one job, in the manifest's order."""

    name: str
    names: list[str]  # of the checkpoints, as the manifest has them
    messages: list[msgspec.Raw]
    pdf: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a batch is."""

    id: str
    states: Counter[State]  # of its jobs; those not made yet count as queued
    report: str | None  # id of the batch report, once it is published
    exit_code: int | None

    @property
    def ended(self) -> int:
        """Jobs in a final state."""
        return sum(count for state, count in self.states.items() if state in FINAL)


class Batches:
    """The batches beside a ledger."""

    def __init__(self, ledger: Ledger, *, namespace: str) -> None:
        self._ledger, self._redis, self._namespace = ledger, ledger.redis, namespace

    def open(self, name: str, messages: Sequence[tuple[str, Message]], *, pdf: bool) -> str:
        """The id of the accepted batch; one that asks for the same and is not over yet is that one."""
        content = Content(
            name=name,
            names=[called for called, _ in messages],
            messages=[msgspec.Raw(encoded(message).encode()) for _, message in messages],
            pdf=pdf,
        )
        text = msgspec.json.encode(content).decode()
        id_ = digest_of([text, time.time_ns()])[:16]
        return self._ledger.gather(id_, digest_of(text), text, jobs=len(messages))

    def enter(self, batch: str, *, limit: int = 1_000_000) -> int:
        """Make the jobs of the batch that are not there yet; how many that were.

        May be cut short at any point and repeated by anyone: each job's id is the batch's and its place.
        """
        if self._redis.hget(self._at(batch), "entered"):
            return 0  # a job that is missing now was forgotten, long after its end
        made = 0
        for job, message in zip(self.jobs(batch), self.content(batch).messages, strict=True):
            accepted = self._ledger.accept(job, parsed(msgspec.json.decode(message)), limit=limit)
            made += accepted.outcome == "accepted"
        self._redis.hset(self._at(batch), "entered", 1)
        return made

    def content(self, batch: str) -> Content:
        """What was asked for."""
        return msgspec.json.decode(self._field(batch, "content"), type=Content)

    def jobs(self, batch: str) -> list[str]:
        """Ids of its jobs, in the manifest's order."""
        return [_job(batch, number) for number in range(1, self.count(batch) + 1)]

    def count(self, batch: str) -> int:
        """How many they are."""
        return int(self._field(batch, "count"))

    def has_ended(self, batch: str, number: int) -> bool:
        """Whether its job of that number, from 1, is final; one that was forgotten was."""
        state: Any = self._redis.hget(f"{self._namespace}:job:{_job(batch, number)}", "state")
        return state is None or state in FINAL

    def standing(self, batch: str) -> Standing:
        """How far it is."""
        with self._redis.pipeline(transaction=False) as pipe:
            for job in self.jobs(batch):
                pipe.hget(f"{self._namespace}:job:{job}", "state")
            states: Any = pipe.execute()
        fields: Any = self._redis.hmget(self._at(batch), ["entered", "report", "exit_code"])
        entered, report, code = fields
        gone: State = "failed" if entered else "queued"
        return Standing(
            id=batch,
            states=Counter(state or gone for state in states),
            report=report,
            exit_code=int(code) if code else None,
        )

    def unfinished(self) -> list[str]:
        """Batches without a report, the oldest first."""
        found: Any = self._redis.zrange(f"{self._namespace}:open-batches", 0, -1)
        return list(found)

    def opened(self, batch: str) -> float:
        """When it was accepted: seconds since 1970."""
        return int(self._field(batch, "opened")) / 1000

    def may_write(self, batch: str) -> bool:
        """Whether no other process writes its report now; saves work, decides nothing."""
        return bool(self._redis.set(f"{self._at(batch)}:writing", 1, nx=True, ex=_WRITING))

    def close(self, batch: str, report: str, exit_code: int, *, keep: float) -> None:
        """The report is published: forget the batch after `keep` seconds."""
        self._ledger.gathered(batch, report, exit_code, keep=keep)
        self._redis.delete(f"{self._at(batch)}:writing")

    def _at(self, batch: str) -> str:
        return f"{self._namespace}:batch:{batch}"

    def _field(self, batch: str, name: str) -> str:
        found: Any = self._redis.hget(self._at(batch), name)
        if found is None:
            raise UnusableInput(f"no batch {batch[:80]!r}; run `attnaudit batch MANIFEST --queue` again")
        return str(found)


def _job(batch: str, number: int) -> str:
    return f"batch-{batch}-{number}"
