"""What chaos does to whom, and what came of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from audit.results import Plan
from workers.jobs import Job

ATTEMPTS = 10  # per job; healthy audits are killed here far more often than in life
BACK = 60.0  # seconds: the promise about lost workers and restarted servers
VICTIMS = MappingProxyType(  # and how often each is chosen
    {
        "child": 8,
        "fork server": 2,
        "worker": 3,
        "scheduler": 2,
        "server": 3,
        "serve": 1,
        "connections": 3,
        "at publication": 3,
    }
)


@dataclass(frozen=True, kw_only=True)
class Chaos:
    """The experiment."""

    models: Path
    checkpoint: str
    audits: int = 300
    duplicates: int = 50
    workers: int = 2
    pause: float | None = None  # mean seconds between blows; None = twice what an undisturbed audit takes
    most_blows: int = 1_000
    settings: Mapping[str, str] = field(default_factory=dict)  # beside the service's own defaults
    program: str = "workers.child"
    server: str = ""
    every: int = 60  # seconds between slots of the schedule that runs meanwhile
    seed: int = 0
    plan: Plan = field(
        default_factory=lambda: Plan(
            depth="quick",
            samples=4,
            max_length=32,
            batch_size=4,
            confirm=False,
            metrics=("attention_entropy", "sink_mass"),
        )
    )
    limit: float = 5_400.0  # seconds

    def asked(self) -> tuple["Asked", ...]:
        """The jobs: every tenth audit with a PDF, every tenth duplicate with one that the first did not ask for."""
        firsts = [Asked(f"job-{n}", n, pdf=n % 10 == 0) for n in range(self.audits)]
        twins = [Asked(f"twin-{n}", n, pdf=n % 10 in {0, 5}) for n in range(self.duplicates)]
        return (*firsts, *twins)

    def plan_of(self, seed: int) -> Plan:
        """The plan of one audit."""
        return replace(self.plan, seed=seed)


@dataclass(frozen=True)
class Asked:
    """One job as it is submitted."""

    id: str
    seed: int
    pdf: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened."""

    blows: Counter[str]
    pause: float
    cold: float  # seconds from the service's start to the first job's
    jobs: tuple[Job, ...]
    slots: int
    seconds: float
    reports: int
    pdfs: int
    rerun_seconds: float
    rerun_new_reports: int
    back: Mapping[str, tuple[float, ...]]  # seconds from each blow of a kind until work went on
