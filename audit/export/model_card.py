"""A section for a model card: what was audited, how, what was found, and what it does not say."""

from typing import Final

from audit.export.marking import code, table, text
from audit.export.saying import unmeasured, waiver, where
from audit.results import Audit
from audit.results.demographics import SkewAxis

_SHOWN: Final = 12


def export(audit: Audit) -> bytes:
    """Markdown under a heading of the second level, to be pasted into a README."""
    lines = [
        "## Attention audit",
        "",
        *table(("", ""), ((label, words) for label, words in _facts(audit))),
        "",
        "### Findings",
        "",
        *_findings(audit),
        *_people(audit),
        "### Limits",
        "",
        "An audit of attention says nothing of accuracy on a task.",
        "",
        *(f"- not measured: {text(each)}" for each in unmeasured(audit)),
        "",
        "### To repeat it",
        "",
        code(audit.provenance.command),
    ]
    return ("\n".join(lines) + "\n").encode()


def _facts(audit: Audit) -> list[tuple[str, str]]:
    subject, layers = audit.subject, audit.coverage.layers
    probes = [
        f"{code(each.name)} ({each.documents} documents, {each.tokens:,} tokens)"
        for each in audit.coverage.probes
    ]
    versions = [
        f"{code(package)} {code(each)}" for package, each in sorted(audit.provenance.versions.items())
    ]
    return [
        ("Verdict", f"**{audit.verdict}** by the policy {code(audit.policy.name)}"),
        (
            "Checkpoint",
            f"{code(subject.architecture)}, {subject.parameters:,} parameters, {code(subject.digest)}",
        ),
        ("Observed", f"{sum(each.observed for each in layers)} of {len(layers)} attention layers"),
        ("Fed", ", ".join(probes)),
        ("Audit", f"{code(audit.audit_id)}, {audit.provenance.started[:10]}"),
        ("Made with", ", ".join(versions)),
    ]


def _findings(audit: Audit) -> list[str]:
    if not audit.findings:
        return ["Nothing found.", ""]
    shown = audit.findings[:_SHOWN]
    lines = []
    for finding in shown:
        reason = waiver(audit, finding)
        note = f" Waived: {text(reason)}." if reason else ""
        status = finding.confirmation.status.replace("_", " ")
        place = text(where(audit, finding))
        lines.append(f"- **{finding.severity}**, {place}: {text(finding.statement)} ({status}){note}")
    rest = len(audit.findings) - len(shown)
    return [*lines, *([f"- and {rest} more in the report"] if rest else []), ""]


def _people(audit: Audit) -> list[str]:
    rows = [_axis(axis) for skew in audit.skew for axis in skew.axes if not axis.control]
    if not rows:
        return []
    head = ("Groups", "Terms", "Attention", "Why")
    return ["### Groups of people", "", *table(head, rows), ""]


def _axis(axis: SkewAxis) -> tuple[str, ...]:
    groups = f"{text(axis.title)}: {text(axis.groups[0])} against {text(axis.groups[1])}"
    return (groups, str(axis.terms), axis.verdict, text(axis.reason))
