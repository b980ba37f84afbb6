"""What the template of a trend may say, every string ready to print."""

from dataclasses import dataclass

from markupsafe import Markup

from audit.report.blocks import Medium, Table, VerdictBlock
from audit.report.comparison_page import MetricBlock


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
    steps: Table
    remarks: tuple[str, ...]
    findings: Table | None
    findings_note: str
    turns: Table | None
    turns_note: str
    metrics: tuple[MetricBlock, ...]
    metrics_note: str
    method: tuple[str, ...]
