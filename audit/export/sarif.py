"""SARIF 2.1.0: findings where code scanners look for them."""

from typing import Any, Final
from urllib.parse import quote

import msgspec

from audit.export.saying import plain, proof, unmeasured, waiver, where
from audit.results import Audit, Finding, RuleRecord
from audit.version import ENGINE

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {"fail": "error", "watch": "warning", "info": "note"}


def export(audit: Audit) -> bytes:
    """One run: rules, findings as results (waived ones suppressed), what was not measured as notifications."""
    rules = sorted(audit.rules)
    index = {rule: number for number, rule in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": "attention-audit",
                "semanticVersion": ENGINE,
                "rules": [_rule(rule, audit.rules[rule]) for rule in rules],
            }
        },
        "automationDetails": {"id": f"attention-audit/{audit.audit_id}"},
        "invocations": [_invocation(audit)],
        "artifacts": [_artifact(name, digest, size) for name, digest, size in _files(audit)],
        "results": [_result(audit, finding, index) for finding in audit.findings],
        "properties": {
            "verdict": audit.verdict,
            "policy": plain(audit.policy.name),
            "measurementId": audit.measurement_id,
        },
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2) + b"\n"


def message(text: str) -> dict[str, str]:
    """A plain-text message in which nothing is a link or a placeholder."""
    return {"text": plain(text).replace("](", "]\\(").replace("{", "{{").replace("}", "}}") or "-"}


def _rule(rule: str, record: RuleRecord) -> dict[str, Any]:
    return {
        "id": plain(rule),
        "name": plain(record.title),
        "shortDescription": message(record.summary),
        "fullDescription": message(f"Flags when {record.criterion}"),
        "help": message(f"{record.mitigation} Limits: {record.limits}"),
        "properties": {
            "thresholds": record.thresholds,
            "references": [plain(each) for each in record.references],
        },
    }


def _invocation(audit: Audit) -> dict[str, Any]:
    missing = [f"Required and missing: {each}" for each in audit.policy.unmet]
    missing += [f"Not measured: {each}" for each in unmeasured(audit)]
    return {
        "executionSuccessful": True,
        "commandLine": plain(audit.provenance.command),
        "startTimeUtc": audit.provenance.started.replace("+00:00", "Z"),
        "toolExecutionNotifications": [{"level": "warning", "message": message(text)} for text in missing],
    }


def _files(audit: Audit) -> list[tuple[str, str, int]]:
    """Weights first: results point at the first one."""
    files = [(file.name, file.sha256, file.bytes) for file in audit.subject.files]
    return sorted(files, key=lambda file: (-file[2], file[0]))


def _artifact(name: str, digest: str, size: int) -> dict[str, Any]:
    return {"location": {"uri": _uri(name)}, "hashes": {"sha-256": digest}, "length": size}


def _uri(name: str) -> str:
    return quote(name.encode("utf-8", "replace")).lstrip("/") or "checkpoint"


def _result(audit: Audit, finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    logical = {"fullyQualifiedName": where(audit, finding), "kind": "element"}
    physical = [
        {"physicalLocation": {"artifactLocation": {"uri": _uri(name)}}} for name, *_ in _files(audit)[:1]
    ]
    (location,) = physical or [{}]
    reason = waiver(audit, finding)
    suppressed = [{"kind": "external", "status": "accepted", "justification": reason}] if reason else []
    return {
        "ruleId": plain(finding.rule),
        **({"ruleIndex": index[finding.rule]} if finding.rule in index else {}),
        "level": _LEVELS[finding.severity],
        "message": message(finding.statement),
        "locations": [location | {"logicalLocations": [logical]}],
        "partialFingerprints": {"finding/v1": plain(finding.id)},
        "suppressions": suppressed,
        "properties": {
            "severity": finding.severity,
            "confirmation": finding.confirmation.status,
            "confirmationReason": plain(finding.confirmation.reason),
            "evidence": [proof(each) for each in finding.evidence],
            "cause": plain(finding.cause),
            "limits": plain(finding.limits),
            "reproduce": plain(finding.reproduce),
        },
    }
