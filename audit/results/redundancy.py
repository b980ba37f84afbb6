"""What it costs and saves to leave parts of a model out: the records that an audit keeps of it."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["blocks", "attention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is left out so far, and as a share of the model."""

    parameters: int
    parameters_share: float | None
    flops_per_token: float
    flops_share: float | None
    cache_bytes_per_token: float | None  # None where the model keeps no key/value cache
    cache_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One more part left out; `effect` is that of all so far, larger is worse, None where it is not finite."""

    dropped: int
    layer: int  # the one left out last
    influence: float | None  # of it, on the detection texts
    effect: float | None
    low: float | None
    high: float | None
    n: int
    harmless: bool | None  # whether the interval lies inside the margin; None with too few documents
    saved: Saved


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCurve:
    """The measured cost of leaving out 1, 2, ... parts of a kind, or the reason why it was not measured."""

    kind: Kind
    metric: str  # that chose the order, on texts other than those measured on
    measure: str | None = None
    unit: str | None = None
    level: float | None = None  # of the unchanged model
    margin: float | None = None
    of: int = 0  # parts the model has
    steps: tuple[Step, ...] = ()
    harmless: int = 0  # steps from the first on that lie inside the margin
    passes: float = 0.0  # of all curves measured together, in plain passes over the texts
    absent: str | None = None
