"""The verdict in one sentence: the answer, how sure it is, and whether there are remarks."""

from collections import Counter

from audit.report.wording import counted, listed
from audit.results import Audit, Finding
from audit.verdict import waived

SETTLED = {"confirmed", "absolute"}  # states of a finding that leave nothing to be tried


def headline(audit: Audit) -> str:
    """`May be promoted, with 2 findings to watch (1 confirmed) and 6 remarks, after 19 of 22 checks ...`."""
    others = [*_watched(audit), *_remarks(audit)]
    beside = listed(others) if others else ""
    if audit.verdict == "fail":
        failing = _of(audit, "fail")
        words = counted(len(failing), "finding fails", "findings fail")
        return f"Do not promote: {words} the policy{_confirmed(failing)}{beside and f', beside {beside}'}."
    if audit.verdict == "inconclusive":
        return f"Do not promote on this audit: it lacks what the policy requires{beside and f', and has {beside}'}."
    if audit.verdict == "watch":
        return f"May be promoted, with {beside}, after {_checks(audit)}."
    return f"May be promoted: {_checks(audit)} found no fault{beside and f', with {beside}'}."


def _of(audit: Audit, severity: str) -> list[Finding]:
    """Findings of that severity which no waiver covers."""
    return [f for f in audit.findings if f.severity == severity and not waived(f, audit.policy)]


def _watched(audit: Audit) -> list[str]:
    found = _of(audit, "watch")
    return [f"{counted(len(found), 'finding')} to watch{_confirmed(found)}"] if found else []


def _remarks(audit: Audit) -> list[str]:
    count, excused = len(_of(audit, "info")), sum(waived(f, audit.policy) for f in audit.findings)
    return [
        *([counted(count, "remark")] if count else []),
        *([f"{counted(excused, 'finding')} waived"] if excused else []),
    ]


def _confirmed(findings: list[Finding]) -> str:
    """How many of them were borne out, in brackets."""
    sure = sum(finding.confirmation.status in SETTLED for finding in findings)
    if len(findings) == 1:
        return " (confirmed)" if sure else " (not confirmed)"
    return f" ({'all' if sure == len(findings) else sure or 'none'} confirmed)"


def _checks(audit: Audit) -> str:
    """How many of the checks that apply could be made, and on how much of the model."""
    outcomes = Counter(check.outcome for check in audit.checks)
    made, lacking = outcomes["passed"] + outcomes["flagged"], outcomes["not_measured"]
    count = counted(made, "check") if not lacking else f"{made} of {counted(made + lacking, 'check')}"
    layers = audit.coverage.layers
    seen = sum(layer.observed for layer in layers)
    return f"{count} on {'all' if seen == len(layers) else f'{seen} of'} {counted(len(layers), 'attention layer')}"
