"""Findings, always in the same order: statement, evidence, confirmation, cause, what to do, limits, how to repeat it."""

from audit.report.anatomy import target_of, title_of
from audit.report.blocks import Entry, EvidenceRow, FindingCard, Highlight, Row
from audit.report.cells import why_absent
from audit.report.exhibits import pattern_anchor
from audit.report.places import place
from audit.report.wording import anchor, estimate, number, sentence, shortened
from audit.results import Audit, Evidence, Finding

_ONE_LINE = 300  # characters
_RANK = {"fail": 0, "watch": 1, "info": 2}
CONFIRMATION = {
    "confirmed": "Confirmed",
    "not_confirmed": "Not confirmed",
    "needs_more_samples": "Undecided, needs more samples",
    "not_attempted": "Not attempted",
    "absolute": "Needs none",
}


def ranked(audit: Audit) -> list[Finding]:
    """Findings, the gravest first, then in the order of the audit."""
    return sorted(audit.findings, key=lambda finding: _RANK[finding.severity])


def finding_anchor(finding: Finding) -> str:
    """Where the page shows `finding`."""
    return anchor("finding", finding.id)


def highlight(audit: Audit, finding: Finding, *, target: str) -> Highlight:
    """The finding in one line."""
    return Highlight(
        target=target,
        severity=finding.severity,
        place=place(audit.coverage, finding.layer, finding.head),
        statement=shortened(finding.statement, _ONE_LINE),
    )


def card(audit: Audit, finding: Finding) -> FindingCard:
    """The finding in full."""
    rule = audit.rules.get(finding.rule)
    return FindingCard(
        anchor=finding_anchor(finding),
        id=finding.id,
        rule=rule.title if rule else finding.rule,
        rule_target=anchor("rule", finding.rule) if any(c.rule == finding.rule for c in audit.checks) else "",
        severity=finding.severity,
        place=place(audit.coverage, finding.layer, finding.head),
        statement=finding.statement,
        evidence=tuple(_evidence(audit, item) for item in finding.evidence),
        facts=_facts(finding),
        references=finding.references,
        reproduce=finding.reproduce,
        exhibits=_exhibits(audit, finding),
    )


def _facts(finding: Finding) -> tuple[Row, ...]:
    status = CONFIRMATION[finding.confirmation.status]
    return (
        Row(label="Confirmation", text=sentence(f"{status}: {finding.confirmation.reason}")),
        Row(label="Cause", text=sentence(finding.cause)),
        Row(label="Mitigation", text=sentence(finding.mitigation)),
        Row(label="Remedy", text=sentence(finding.remedy or "no remedy was tried on this checkpoint")),
        Row(label="Limits", text=sentence(finding.limits)),
    )


def _evidence(audit: Audit, item: Evidence) -> EvidenceRow:
    return EvidenceRow(
        metric=title_of(audit, item.metric),
        target=target_of(audit, item.metric),
        probe=item.probe or "no probe",
        value="not measured" if item.value is None else estimate(item.value, item.low, item.high),
        note=_why_no_interval(audit, item),
        n=f"{item.n:,}" if item.n else "–",
        null="none" if item.null is None else number(item.null),
        threshold=_threshold(item),
    )


def _threshold(item: Evidence) -> str:
    if item.threshold is None:
        return "none"
    return f"{item.direction} {number(item.threshold)}" if item.direction else number(item.threshold)


def _why_no_interval(audit: Audit, item: Evidence) -> str:
    if item.low is not None and item.high is not None:
        return ""
    measurement = audit.measurements.get(item.metric, {}).get(item.probe or "")
    if measurement is not None and measurement.absent:
        return f"no interval: {why_absent(measurement)}"
    return "counted, not sampled" if item.n == 0 else "no interval was computed"


def _exhibits(audit: Audit, finding: Finding) -> tuple[Entry, ...]:
    return tuple(
        Entry(target=pattern_anchor(exhibit), text="Attention pattern")
        for exhibit in audit.exhibits
        if exhibit.finding == finding.id and exhibit.kind == "pattern"
    )
