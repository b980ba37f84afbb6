"""The blocks of a page: one frozen record each, every string ready to print (the contract of `templates/`)."""

from dataclasses import dataclass
from typing import Literal

from audit.report.drawing import Picture

Medium = Literal["screen", "print"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A label and what stands beside it; `target` is the anchor the label leads to, or empty."""

    label: str
    text: str
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the contents."""

    target: str
    text: str
    children: tuple["Entry", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictBlock:
    """The answer to 'may I promote this checkpoint?'."""

    kind: str  # pass, watch, fail, inconclusive: a class of the style sheet
    word: str
    headline: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A finding in one line."""

    target: str
    severity: str  # a class of the style sheet
    word: str
    label: str
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """One number a finding rests on, beside its null and its threshold."""

    metric: str
    target: str
    probe: str
    value: str
    note: str
    n: str
    null: str
    threshold: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCard:
    """A finding in full, always in the same order."""

    anchor: str
    id: str
    label: str
    rule_target: str
    severity: str
    severity_word: str
    layer: str  # empty where the finding is about the whole model
    head: str  # empty where it is about no single head
    order: str  # place among all findings, the gravest first
    statement: str
    evidence: tuple[EvidenceRow, ...]
    evidence_note: str  # what is left out of it
    facts: tuple[Row, ...]  # confirmation, cause, impact, remedy, limits
    references: tuple[str, ...]
    reproduce: str
    exhibits: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text; the first of each row is its header."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture, what it shows in words, and its numbers."""

    picture: Picture
    alt: str
    captions: tuple[Row, ...]
    table: Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSection:
    """What one metric says about this model; drawn by `metrics/<name>.html` where that exists."""

    name: str
    anchor: str
    target: str
    title: str
    unit: str
    summary: str
    direction: str
    figures: tuple[Figure, ...]
    absences: tuple[str, ...]
    shape: str  # 'single' or 'several' figures: a class of the style sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSection:
    """The attention pattern of one head on one text, or the reason why it cannot be shown."""

    anchor: str
    title: str
    finding: Row | None
    figure: Figure | None
    tokens: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainabilitySection:
    """Where the configuration stood before training, or the reason why that cannot be said."""

    introduction: str
    figure: Figure | None
    words: tuple[str, ...]
    notes: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodBlock:
    """How one metric is defined."""

    anchor: str
    title: str
    name: str
    summary: str
    formula: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBlock:
    """One rule and what came of it."""

    anchor: str
    title: str
    name: str
    outcome: str  # a class of the style sheet
    outcome_word: str
    reason: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The first page."""

    verdict: VerdictBlock
    certainty: tuple[str, ...]
    subject: tuple[Row, ...]
    highlights: tuple[Highlight, ...]
    highlights_note: str
    unmeasured: tuple[Row, ...]
    unmeasured_note: str
    passed: tuple[Row, ...]
    passed_note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What changed since another audit."""

    headline: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """Every head and every layer of the model."""

    note: str
    legend: str
    heads: tuple[MetricSection, ...]
    depth: tuple[MetricSection, ...]
    totals: tuple[Row, ...]
    patterns: tuple[PatternSection, ...]
    patterns_note: str
    trainability: TrainabilitySection


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleAxis:
    """One demographic axis: what was compared, the heads that stand out, what the model says."""

    anchor: str
    title: str
    verdict: str
    facts: tuple[Row, ...]
    example: Figure | None
    heads: Table | None
    heads_note: str
    leanings: Table | None
    remedies: Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleBlock:
    """How attention is allotted to groups of people."""

    note: str  # why there is nothing, or empty
    claims: tuple[Row, ...]
    overview: Table | None
    figure: Figure | None
    axes: tuple[PeopleAxis, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBlock:
    """What the record of the training says, or why there is none."""

    note: str
    facts: tuple[Row, ...]
    figure: Figure | None
    settings: Table | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How this audit came about and how to repeat it."""

    command: str
    rows: tuple[Row, ...]
    settings: tuple[Row, ...]
    versions: tuple[Row, ...]
    files: tuple[tuple[str, str, str], ...]  # name, size, digest
    files_note: str
    waivers: tuple[tuple[str, str, str, str], ...]  # what, reason, owner, state
