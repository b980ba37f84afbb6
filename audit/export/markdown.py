"""A summary for a merge request: the verdict, what speaks for it, what was not measured."""

from typing import Final

from audit.export.marking import code, table, text
from audit.export.saying import expired, name, proof, unmeasured, waiver, where
from audit.results import Audit, Finding

_SHOWN: Final = 20
_GAPS: Final = 10
_MARKS: Final = {"pass": "✅", "watch": "👀", "fail": "❌", "inconclusive": "❔"}


def export(audit: Audit) -> bytes:
    """Short enough for a comment, complete enough to decide on."""
    observed = sum(layer.observed for layer in audit.coverage.layers)
    seen = (
        f"{observed} of {len(audit.coverage.layers)} attention layers observed; policy {code(audit.policy.name)}; "
        f"audit {code(audit.audit_id)}; checkpoint {code(audit.subject.digest[:16])}."
    )
    lines = [
        f"## {_MARKS[audit.verdict]} Attention audit of {code(name(audit))}: {audit.verdict}",
        "",
        seen,
        "",
        *_findings(audit),
        *_listed("Required by the policy and missing", list(audit.policy.unmet)),
        *_listed("Waivers that do not count any more", expired(audit)),
        *_listed("Not measured", unmeasured(audit)),
        "Again, on the same checkpoint:",
        "",
        code(audit.provenance.command),
    ]
    return ("\n".join(lines) + "\n").encode()


def _findings(audit: Audit) -> list[str]:
    if not audit.findings:
        return ["Nothing found.", ""]
    rows = [_row(audit, finding) for finding in audit.findings[:_SHOWN]]
    rest = len(audit.findings) - _SHOWN
    more = [f"And {rest} more in the report.", ""] if rest > 0 else []
    return [*table(("Severity", "Where", "Finding", "Evidence", "Confirmed"), rows), "", *more]


def _row(audit: Audit, finding: Finding) -> tuple[str, ...]:
    reason = waiver(audit, finding)
    severity = f"~~{finding.severity}~~ waived: {text(reason)}" if reason else finding.severity
    evidence = "<br>".join(text(proof(each)) for each in finding.evidence[:2])
    return (
        severity,
        text(where(audit, finding)),
        text(finding.statement),
        evidence,
        text(finding.confirmation.status.replace("_", " ")),
    )


def _listed(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"- and {len(lines) - _GAPS} more in the report"] if len(lines) > _GAPS else []
    return [f"**{title}**", "", *(f"- {text(line)}" for line in lines[:_GAPS]), *more, ""]
