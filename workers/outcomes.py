"""Exit codes of jobs: of a verdict, of a job, and of several."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from workers.jobs import Job

VERDICT_CODES: Final[Mapping[str, int]] = MappingProxyType(
    {"pass": 0, "watch": 0, "fail": 1, "inconclusive": 3}
)
_WORST_FIRST: Final = (4, 5, 2, 1, 3, 0)


def code_of(job: Job) -> int:
    """What waiting for this finished job ends with."""
    return 0 if job.exit_code is None else job.exit_code


def worst(codes: Iterable[int]) -> int:
    """The worst of several exit codes: a fault of ours, of the machine, a refusal, a failed verdict, inconclusive."""
    return min(codes, key=_WORST_FIRST.index, default=0)
