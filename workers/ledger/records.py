"""What the ledger answers."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from workers.jobs import State


class Accepted(NamedTuple):
    """What became of a submission, and how many jobs are queued now."""

    outcome: Literal["accepted", "known", "full", "fired"]
    depth: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at one job; `token` fences it against every other attempt, also of a lost ledger."""

    id: str
    token: str
    attempt: int
    message: str

    @property
    def label(self) -> str:
        """Name of the attempt in the store."""
        return f"{self.id}.{self.attempt}."


@dataclass(frozen=True, slots=True)
class Expired:
    """An attempt whose lease ran out."""

    id: str
    token: str
    granted: str | None
    owner: str
    attempt: int
    stage: str
    peak: int
    started: int  # milliseconds


@dataclass(frozen=True, slots=True)
class Figures:
    """The ledger in numbers."""

    states: dict[State, int]
    totals: dict[str, int]  # jobs that ended in each final state since the ledger began
    oldest: float  # seconds the oldest queued job has waited
