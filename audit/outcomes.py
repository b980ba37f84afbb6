"""Exit codes: of a verdict, and the worst of several."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from audit.results import Verdict

VERDICT_CODES: Final[Mapping[Verdict, int]] = MappingProxyType(
    {"pass": 0, "watch": 0, "fail": 1, "inconclusive": 3}
)
_WORST_FIRST: Final = (4, 5, 2, 1, 3, 0)


def worst(codes: Iterable[int]) -> int:
    """The worst of several exit codes: a fault of ours, of the machine, a refusal, a failed verdict, inconclusive."""
    return min(codes, key=rank, default=0)


def rank(code: int) -> int:
    """Where a code stands among all of them; 0 is the worst."""
    return _WORST_FIRST.index(code)
