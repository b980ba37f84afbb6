"""What the templates of a batch report may say, every string ready to print."""

from dataclasses import dataclass

from audit.report.blocks import Row, VerdictBlock
from audit.report.document import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One finding of a checkpoint."""

    severity: str
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One checkpoint: a row of the table."""

    name: str
    about: str
    kind: str  # a class of the style sheet
    word: str
    lines: tuple[Line, ...]
    note: str
    reason: str
    gaps: tuple[str, ...]
    gaps_note: str
    report: str  # where its own report stands, seen from this one; empty = none
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage(Document):
    """Everything a batch report says."""

    name: str
    kicker: str
    identity: str
    created: str
    date: str
    verdict: VerdictBlock
    totals: tuple[Row, ...]
    subjects: tuple[Subject, ...]
    subjects_note: str
