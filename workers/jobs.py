"""What a client may know of a job: its state, how far it is, how attempts died."""

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec

State = Literal["queued", "running", "published", "helped", "failed", "cancelled", "quarantined"]
STATES: Final[tuple[State, ...]] = get_args(State)
FINAL: Final[frozenset[State]] = frozenset({"published", "helped", "failed", "cancelled", "quarantined"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How one attempt ended without an outcome."""

    attempt: int
    how: str  # e.g. "killed by signal 9 (SIGKILL)"
    stage: str = ""
    peak_bytes: int = 0
    seconds: float = 0.0
    worker: str = ""

    def __str__(self) -> str:
        """One clause for a reason."""
        where = f" in stage {self.stage!r}" if self.stage else ""
        grown = f", {self.peak_bytes / 2**20:.0f} MiB at most" if self.peak_bytes else ""
        return f"attempt {self.attempt}: {self.how}{where} after {self.seconds:.0f} s{grown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the ledger has it; times are seconds since 1970, UTC, by the server's clock."""

    id: str
    state: State
    checkpoint: str
    requested_by: str
    priority: int
    attempt: int
    accepted: float
    started: float | None
    ended: float | None
    stage: str
    done: int
    total: int
    worker: str
    audit_id: str | None
    verdict: str | None
    reason: str | None
    exit_code: int | None
    seconds: float | None  # from claim to the end of the last attempt
    peak_bytes: int
    deaths: tuple[Death, ...]

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to this job any more."""
        return self.state in FINAL


def job_from(fields: dict[str, str], deaths: list[str]) -> Job:
    """The job from the ledger's strings."""
    state: Any = fields["state"]
    died = tuple(msgspec.json.decode(death, type=Death) for death in deaths)
    reason = fields.get("reason")
    if state == "quarantined":
        reason = "; ".join(map(str, died)) or reason
    return Job(
        id=fields["id"],
        state=state,
        checkpoint=fields.get("checkpoint", ""),
        requested_by=fields.get("requested_by", ""),
        priority=int(fields.get("priority", 0)),
        attempt=int(fields.get("attempts", 0)),
        accepted=int(fields["accepted"]) / 1000,
        started=_seconds(fields.get("started")),
        ended=_seconds(fields.get("ended")),
        stage=fields.get("stage", ""),
        done=int(fields.get("done", 0)),
        total=int(fields.get("total", 0)),
        worker=fields.get("owner", ""),
        audit_id=fields.get("audit_id"),
        verdict=fields.get("verdict"),
        reason=reason,
        exit_code=int(fields["exit_code"]) if "exit_code" in fields else None,
        seconds=_between(fields.get("started"), fields.get("ended")),
        peak_bytes=int(fields.get("peak", 0)),
        deaths=died,
    )


def _seconds(milliseconds: str | None) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None


def _between(started: str | None, ended: str | None) -> float | None:
    return (int(ended) - int(started)) / 1000 if started and ended else None
