"""What the templates of a comparison and of a trend may say, every string ready to print."""

from dataclasses import dataclass

from audit.report.blocks import Figure, Row, Table, VerdictBlock
from audit.report.document import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """A finding that came, went or stayed."""

    state: str
    kind: str  # a class of the style sheet
    place: str
    severity: str
    statement: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricBlock:
    """One metric: a figure per probe, or the reason why there is none."""

    title: str
    name: str
    summary: str
    figures: tuple[Figure, ...]
    shape: str  # 'single' or 'several' figures: a class of the style sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage(Document):
    """Everything a comparison says."""

    heading: str
    kicker: str
    created: str
    verdict: VerdictBlock
    regressions: tuple[str, ...]
    sides: Table
    facts: tuple[Row, ...]
    remarks: tuple[str, ...]
    findings: tuple[ChangeLine, ...]
    findings_note: str
    overview: Table
    largest: Table | None
    largest_note: str
    metrics: tuple[MetricBlock, ...]
    metrics_note: str
    method: tuple[str, ...]
