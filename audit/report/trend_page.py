"""What the template of a trend may say, every string ready to print."""

from dataclasses import dataclass

from markupsafe import Markup

from audit.report.blocks import Figure, Medium, Table, VerdictBlock
from audit.report.comparison_page import MetricBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningBlock:
    """A collapse that is warned of."""

    title: str
    statement: str
    why: str
    seen: str  # at which checkpoints
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPage:
    """Everything a trend says."""

    medium: Medium
    title: str
    heading: str
    kicker: str
    created: str
    description: str
    generator: str
    style: Markup
    content_policy: str
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
