"""Every transition of a job, each one atomic and safe to repeat when its answer was lost."""

import secrets
from typing import Any, Final, Literal

import msgspec
from redis import Redis

from audit.errors import MachineFault, UnusableInput
from workers.jobs import STATES, Death, Job, State, job_from
from workers.ledger.records import Accepted, Claim, Expired, Figures
from workers.ledger.scripts import registered
from workers.message import Message, encoded

_FORGOTTEN_AT_ONCE: Final = 500  # jobs; a script stops the server while it runs


class Ledger:
    """The jobs of one namespace in a Redis or Valkey server."""

    def __init__(self, redis: Redis, *, namespace: str) -> None:
        self.redis = redis
        self._namespace = namespace
        self._scripts = registered(redis)

    def accept(
        self, job_id: str, message: Message, *, limit: int = 1_000_000, slot: str | None = None
    ) -> Accepted:
        """Put the job into the queue unless its id, or its slot of a schedule, is known."""
        outcome, depth = self._run(
            "accept",
            job_id,
            encoded(message),
            job_id if message.helps else message.key,  # those that help one job run at once
            message.checkpoint,
            message.requested_by,
            message.priority,
            limit,
            slot or "",
            message.helps or "",
        )
        if outcome == "over":
            raise UnusableInput(f"job {message.helps} is over or unknown: there is nothing to help with")
        if outcome == "full":
            raise MachineFault(f"{depth} jobs are queued already, which is the limit; submit again later")
        return Accepted(outcome, depth)

    def refuse(self, job_id: str, reason: str, *, exit_code: int = UnusableInput.exit_code) -> None:
        """Leave a failed job for a message that cannot become one."""
        self._run("refuse", job_id, reason, exit_code)

    def claim(self, owner: str, *, lease: float) -> Claim | None:
        """The first attempt that can start now, counted, or None; jobs with the same key never run at once."""
        found = self._run("claim", owner, secrets.token_hex(8), int(lease * 1000))
        return Claim(*found) if found else None

    def renew(
        self, claim: Claim, *, lease: float, stage: str, done: int, total: int, peak: int
    ) -> Literal["held", "cancelled", "lost"]:
        """Whether the attempt still owns its job; if so its lease starts anew and its progress is noted."""
        answer: Literal["held", "cancelled", "lost"] = self._run(
            "renew", claim.id, claim.token, int(lease * 1000), stage, done, total, peak
        )
        return answer

    def grant(self, claim: Claim, audit_id: str) -> bool:
        """Whether this attempt may make its audit visible: the compare-and-set that decides."""
        return bool(self._run("grant", claim.id, claim.token, audit_id))

    def publish(self, job_id: str, token: str, *, audit_id: str, verdict: str, exit_code: int) -> bool:
        """Whether the job is published by this attempt."""
        fields = ("audit_id", audit_id, "verdict", verdict, "exit_code", exit_code)
        return bool(self._run("finish", job_id, token, "published", *fields))

    def helped(self, claim: Claim, reason: str) -> bool:
        """Whether the job, which helped another, ended by this attempt."""
        fields = ("reason", reason, "exit_code", 0)
        return bool(self._run("finish", claim.id, claim.token, "helped", *fields))

    def fail(self, claim: Claim, reason: str, *, exit_code: int) -> bool:
        """Whether the job is failed by this attempt."""
        fields = ("reason", reason, "exit_code", exit_code)
        return bool(self._run("finish", claim.id, claim.token, "failed", *fields))

    def died(self, claim: Claim, death: Death, *, limit: int) -> str:
        """Record a death: the job goes behind the others of its priority, or into quarantine."""
        answer: str = self._run("died", claim.id, claim.token, _json(death), limit)
        return answer

    def release(self, claim: Claim) -> bool:
        """Give the job back, before all others; the attempt does not count."""
        return bool(self._run("release", claim.id, claim.token))

    def cancel(self, job_id: str) -> str:
        """The state the job was in, or `publishing` where it is too late to cancel; UnusableInput if unknown."""
        before: str | None = self._run("cancel", job_id)
        if before is None:
            raise _unknown(job_id)
        return before

    def expired(self) -> tuple[Expired, ...]:
        """Attempts whose lease ran out."""
        found = self._run("expired")
        return tuple(
            Expired(id_, token, granted, owner or "", int(attempt), stage or "", int(peak or 0), int(started))
            for id_, token, granted, owner, attempt, stage, peak, started in found
        )

    def expire(self, lost: Expired, death: Death, *, limit: int) -> str:
        """Take the job from an attempt that is still expired: queued again, before all others, or quarantined."""
        answer: str = self._run("expire", lost.id, lost.token, _json(death), limit)
        return answer

    def job(self, job_id: str) -> Job:
        """The job; UnusableInput if there is none of that id."""
        fields: Any = self.redis.hgetall(f"{self._namespace}:job:{job_id}")
        if not fields:
            raise _unknown(job_id)
        deaths: Any = self.redis.lrange(f"{self._namespace}:job:{job_id}:deaths", 0, -1)
        return job_from(fields, deaths)

    def jobs(self, state: State | None = None, *, first: int = 0, limit: int = 100) -> tuple[Job, ...]:
        """A page of jobs, newest first; of queued ones, the next to run first."""
        command = "ZRANGE" if state in {"queued", "running"} else "ZREVRANGE"
        where = f"in:{state}" if state else "jobs"
        found, _ = self._run("page", where, first, first + limit - 1, command)
        return tuple(
            job_from(dict(zip(fields[::2], fields[1::2], strict=True)), deaths) for fields, deaths in found
        )

    def figures(self) -> Figures:
        """Jobs per state, totals and the age of the oldest queued one."""
        states, totals, oldest = self._run("figures")
        return Figures(
            dict(zip(STATES, states, strict=True)),
            {name: int(count) for name, count in zip(totals[::2], totals[1::2], strict=True)},
            int(oldest) / 1000,
        )

    def depth(self) -> int:
        """How many jobs are queued."""
        found: Any = self.redis.zcard(f"{self._namespace}:in:queued")
        return int(found)

    def forget(self, *, older_than: float) -> int:
        """Remove jobs that ended more than `older_than` seconds ago; the store keeps their audits."""
        return int(self._run("forget", int(older_than * 1000), _FORGOTTEN_AT_ONCE))

    def gather(self, batch_id: str, key: str, content: str, *, jobs: int) -> str:
        """The id of the open batch with that key: this one unless there was one."""
        found: str = self._run("gather", batch_id, key, content, jobs)
        return found

    def gathered(self, batch_id: str, report: str, exit_code: int, *, keep: float) -> None:
        """Note the report of a batch, which is over; remembered for `keep` seconds."""
        self._run("gathered", batch_id, report, exit_code, int(keep * 1000))

    def uptime(self) -> float:
        """Seconds since the server started."""
        found: Any = self.redis.info("server")
        return float(found["uptime_in_seconds"])

    def _run(self, name: str, *arguments: Any) -> Any:
        return self._scripts[name](keys=[self._namespace], args=list(arguments))


def _json(death: Death) -> str:
    return msgspec.json.encode(death).decode()


def _unknown(job_id: str) -> UnusableInput:
    return UnusableInput(
        f"no job {job_id[:80]!r}; `attnaudit jobs` lists them (final ones are forgotten in time)"
    )
