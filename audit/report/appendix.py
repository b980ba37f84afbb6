"""What stands behind the findings: metrics, rules, probes, and how the audit came about."""

from collections.abc import Container
from typing import Any

from audit.report.blocks import Medium, MethodBlock, Provenance, Row, RuleBlock
from audit.report.wording import anchor, counted, number, sentence, size
from audit.results import Audit, Check, MethodRecord, RuleRecord

_OUTCOMES = {
    "flagged": "Flagged",
    "passed": "Passed",
    "not_applicable": "Not applicable",
    "not_measured": "Not measured",
}
_QUIET = {"passed", "not_applicable"}
_FILES = {"screen": 5000, "print": 20}


def methods(audit: Audit, *, defined: Container[str] | None = None) -> tuple[MethodBlock, ...]:
    """How each of the `defined` metrics is defined."""
    return tuple(
        _method(name, record)
        for name, record in sorted(audit.methods.items())
        if defined is None or name in defined
    )


def rules(audit: Audit, *, quiet: bool) -> tuple[RuleBlock, ...]:
    """Rules with their outcome: those that passed or do not apply (`quiet`), or the others."""
    return tuple(
        _rule(audit.rules.get(check.rule), check)
        for check in audit.checks
        if (check.outcome in _QUIET) == quiet
    )


def probes(audit: Audit) -> tuple[tuple[str, str, str, str, str], ...]:
    """Name, documents, samples, tokens, and digest with remark, of each probe as it was fed."""
    return tuple(
        (
            probe.name,
            f"{probe.documents:,}",
            f"{probe.samples:,}",
            f"{probe.tokens:,}",
            f"{probe.digest[:16]}" + (f"; {probe.remark}" if probe.remark else ""),
        )
        for probe in audit.coverage.probes
    )


def provenance(audit: Audit, *, medium: Medium) -> Provenance:
    """Where the audit comes from and the command that repeats it; print names the first files of many."""
    record, files = audit.provenance, audit.subject.files
    left = len(files) - _FILES[medium]
    return Provenance(
        command=record.command,
        rows=(
            Row(label="Path as given", text=record.path),
            Row(label="Started", text=record.started),
            Row(label="Took", text=f"{record.seconds:.1f} s"),
            Row(
                label="Computed on",
                text=f"{record.device}, {record.dtype}, {counted(record.threads, 'thread')}",
            ),
            Row(label="Checkpoint digest", text=audit.subject.digest),
            Row(label="Audit", text=audit.audit_id),
            Row(label="Measurement", text=audit.measurement_id),
            Row(label="Policy", text=f"{audit.policy.name}, digest {audit.policy.digest}"),
            Row(label="Schema", text=audit.schema_version),
        ),
        settings=tuple(Row(label=key, text=_setting(value)) for key, value in sorted(audit.plan.items())),
        versions=tuple(Row(label=key, text=value) for key, value in sorted(record.versions.items())),
        files=tuple((file.name, size(file.bytes), file.sha256) for file in files[: _FILES[medium]]),
        files_note=f"{counted(left, 'more file')} in audit.json, subject." if left > 0 else "",
        waivers=tuple(_waiver(waiver) for waiver in audit.policy.waivers),
    )


def _method(name: str, record: MethodRecord) -> MethodBlock:
    return MethodBlock(
        anchor=anchor("method", name),
        title=record.title,
        name=name,
        summary=sentence(record.summary),
        formula=record.formula,
        rows=(
            Row(label="Values", text=_values(record)),
            Row(label="Reads", text=record.direction),
            Row(label="Healthy", text=record.healthy),
            Row(label="Source", text=record.reference),
            *([Row(label="Limits", text=record.limits)] if record.limits else []),
        ),
    )


def _values(record: MethodRecord) -> str:
    low, high = record.span
    unit = "" if record.unit == "1" else f" ({record.unit})"
    until = "upwards" if high is None else f"to {number(high)}"
    span = "any number" if low is None else f"{number(low)} {until}"
    axes = "each head" if record.axes == "head" else "each layer"
    return f"{span}{unit}; one per sample for {axes}"


def _rule(record: RuleRecord | None, check: Check) -> RuleBlock:
    return RuleBlock(
        anchor=anchor("rule", check.rule),
        title=record.title if record else check.rule,
        name=check.rule,
        outcome=check.outcome,
        outcome_word=_OUTCOMES[check.outcome],
        reason=sentence(check.reason),
        rows=_rule_rows(record) if record else (),
    )


def _rule_rows(record: RuleRecord) -> tuple[Row, ...]:
    limits = ", ".join(f"{name} = {number(value, 6)}" for name, value in sorted(record.thresholds.items()))
    rows = (
        Row(label="Looks for", text=record.summary),
        Row(label="Flags when", text=record.criterion),
        Row(label="Thresholds", text=limits),
        Row(label="Limits", text=record.limits),
        Row(label="Source", text="; ".join(record.references)),
    )
    return tuple(row for row in rows if row.text)


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "by depth"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not set" if value is None else str(value)


def _waiver(waiver: dict[str, Any]) -> tuple[str, str, str, str]:
    where = f" at {waiver['where']}" if waiver.get("where") else ""
    state = "in force" if waiver.get("in_force") else "expired: counts as none"
    until = f"{state}, until {waiver['expires']}" if waiver.get("expires") else state
    return (
        f"{waiver.get('rule', '')}{where}",
        str(waiver.get("reason", "")),
        str(waiver.get("owner", "")),
        until,
    )
