"""What the template of a trend may say, every string ready to print."""

from dataclasses import dataclass

from audit.report.blocks import Figure, Table, VerdictBlock
from audit.report.comparison_page import MetricBlock
from audit.report.document import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningBlock:
    """A collapse that is warned of."""

    title: str
    statement: str
    why: str
    seen: str  # at which checkpoints
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPage(Document):
    """Everything a trend says."""

    heading: str
    kicker: str
    created: str
    verdict: VerdictBlock
    warnings: tuple[WarningBlock, ...]
    steps: Table
    drift: Table | None
    drift_figures: tuple[Figure, ...]
    drift_note: str
    remarks: tuple[str, ...]
    findings: Table | None
    findings_note: str
    turns: Table | None
    turns_note: str
    metrics: tuple[MetricBlock, ...]
    metrics_note: str
    method: tuple[str, ...]
