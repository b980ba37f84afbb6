"""What findings are put down to, in a few lines above them."""

from collections.abc import Sequence
from dataclasses import dataclass

from audit.report.blocks import Entry
from audit.report.findings import finding_anchor, label
from audit.results import Audit, Finding

_LISTED = 4  # findings of a group


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseBlock:
    """Findings that share a cause, and what decides it."""

    title: str
    cause: str
    reasoning: str
    findings: tuple[Entry, ...]
    more: str  # how many are not listed, or empty


def causes(audit: Audit, *, shown: Sequence[Finding]) -> tuple[CauseBlock, ...]:
    """One block for each group; findings that the page shows in full are linked."""
    targets = {finding.id: finding_anchor(finding) for finding in shown}
    labels = {finding.id: label(audit, finding) for finding in audit.findings}
    return tuple(
        CauseBlock(
            title=each.title,
            cause=each.cause.capitalize(),
            reasoning=" ".join(each.reasoning),
            findings=tuple(
                Entry(target=targets.get(name, ""), text=labels.get(name, name))
                for name in each.findings[:_LISTED]
            ),
            more=f"and {len(each.findings) - _LISTED} more" if len(each.findings) > _LISTED else "",
        )
        for each in audit.diagnosis
    )
