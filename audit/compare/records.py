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
class RecordedLoss:
    """How the training loss stood at a checkpoint, by the record beside it: medians of five logged lines."""

    at: int  # step of training of the last line
    last: float | None  # None where it was not finite any more
    lowest: float | None  # so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One audit of a series."""

    label: str
    side: Side
    loss: RecordedLoss | None = None  # None where no record stands with the checkpoint


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
class Drift:
    """A quantity through the series: of the layer (mean over its heads) where it is furthest, one point per step."""

    metric: str
    probe: str
    end: Literal["lowest", "highest"]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A number that a warning rests on, of the warning's layer: at the first step and at the one that warns."""

    metric: str
    probe: str
    first: Point
    now: Point
    threshold: float
    direction: Literal["above", "below"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A collapse that the series warns of."""

    kind: Literal["entropy collapse", "rank collapse"]
    step: int  # the first that warns
    steps: tuple[int, ...]  # all that do
    layer: int  # where it is furthest at the first
    signs: tuple[Sign, ...]
    statement: str
    why: str  # these numbers are a sign of it
    references: tuple[str, ...]


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
    warnings: tuple[Alarm, ...] = ()  # of a collapse to come, in order of their first steps
    drifts: tuple[Drift, ...] = ()
    moved: tuple[
        float | None, ...
    ] = ()  # ||W - W_0|| / ||W_0|| per step, all weights; none where they were not read
