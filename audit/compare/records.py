"""What a comparison and a trend say: frozen records that are written as JSON and drawn by the reports."""

from dataclasses import dataclass
from typing import Literal

from audit.results import MethodRecord, Severity, Values, Verdict

State = Literal["new", "worse", "unchanged", "milder", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the audits."""

    path: str  # of the checkpoint, as given then
    audit_id: str
    verdict: Verdict
    policy: str
    started: str
    architecture: str
    parameters: int
    layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Which layer of the one audit is held against which of the other."""

    how: str
    pairs: tuple[tuple[int, int], ...]  # (before, after), in order
    gone: tuple[int, ...] = ()  # layers of the first without a counterpart
    new: tuple[int, ...] = ()  # of the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A metric on a probe, after minus before; arrays are [pair][head] or [pair], over the alignment's pairs.

    `q` is the p value corrected for all cells of the comparison; None where nothing was sampled.
    """

    before: Values
    after: Values
    difference: Values
    low: Values = None
    high: Values = None
    q: Values = None
    changed: tuple[tuple[int, int | None], ...] = ()  # (pair, head) of the cells that changed, surest first
    cells: int = 0  # that could be compared
    n: int = 0  # paired documents
    absent: str | None = None  # reason, where there are no intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingChange:
    """A finding that is in one of the audits or in both; place and statement are the newest audit's that has it."""

    state: State
    rule: str
    layer: int | None
    head: int | None
    before: Severity | None
    after: Severity | None
    statement: str
    note: str  # why it came or went, where that is known; or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that one audit says against another."""

    schema_version: str
    before: Side
    after: Side
    alignment: Alignment
    probes: tuple[str, ...]  # both were fed
    differences: dict[str, dict[str, Difference]]  # metric -> probe -> difference
    methods: dict[str, MethodRecord]
    tested: int  # cells with a p value
    changed: int
    findings: tuple[FindingChange, ...]
    regressions: tuple[str, ...]  # why this is a regression; none = it is not
    remarks: tuple[str, ...]  # what could not be compared, and what to know


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One audit of a series."""

    label: str
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A number at one step with its 95% interval, and the head or layer it is of; None for a mean over all."""

    value: float | None
    low: float | None = None
    high: float | None = None
    layer: int | None = None
    head: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What changed in a mean from one step to the next; `step` is the later one."""

    step: int
    difference: float
    low: float
    high: float
    q: float
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A metric on a probe through the series, one point per step each."""

    mean: tuple[Point, ...]  # over all heads and layers
    lowest: tuple[Point, ...]  # of any head or layer
    highest: tuple[Point, ...]
    turns: tuple[Turn, ...]  # none where nothing was sampled, or too little
    absent: str | None = None  # reason, where there are no intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCourse:
    """A finding through the series."""

    rule: str
    layer: int | None
    head: int | None
    severities: tuple[Severity | None, ...]  # per step; None = not found
    first: int  # step at which it appears
    statement: str  # the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Everything a series of audits says."""

    schema_version: str
    steps: tuple[Step, ...]
    probes: tuple[str, ...]  # all were fed
    courses: dict[str, dict[str, Course]]  # metric -> probe -> course
    methods: dict[str, MethodRecord]
    findings: tuple[FindingCourse, ...]  # in order of first appearance
    remarks: tuple[str, ...]
