"""JUnit XML: a test case for each check, so that a pipeline shows the verdict as it shows its tests."""

from typing import Final
from xml.etree import ElementTree as ET

from audit.export.saying import name, plain, proof, waiver, where
from audit.results import Audit, Check, Finding

_SUITE: Final = "attention audit"


def export(audit: Audit) -> bytes:
    """A failure for each check with a finding that fails, an error for each demand of the policy that is not met.

    So there is a failure exactly where the verdict is `fail`, and an error where it would be `inconclusive`; a check
    that could not be made is skipped, and what is only to be watched is in the output of its case.
    """
    suite = ET.Element("testsuite", name=f"{_SUITE}: {name(audit)}", timestamp=audit.provenance.started[:19])
    suite.set("time", f"{audit.provenance.seconds:.3f}")
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for check in audit.checks:
        counts["tests"] += 1
        kind = _case(suite, audit, check)
        if kind:
            counts[kind] += 1
    for demand in audit.policy.unmet:
        counts["tests"] += 1
        counts["errors"] += 1
        case = ET.SubElement(suite, "testcase", classname="policy", name=plain(demand))
        ET.SubElement(case, "error", message=plain(demand), type="unmet")
    for key, count in counts.items():
        suite.set(key, str(count))
    root = ET.Element("testsuites", {**{key: str(count) for key, count in counts.items()}, "name": _SUITE})
    root.append(suite)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ET.Element, audit: Audit, check: Check) -> str | None:
    """The kind under which the case counts, if under one."""
    case = ET.SubElement(suite, "testcase", classname="rules", name=plain(check.rule))
    found = [finding for finding in audit.findings if finding.rule == check.rule]
    failing = [f for f in found if f.severity == "fail" and waiver(audit, f) is None]
    if found:
        ET.SubElement(case, "system-out").text = "\n".join(_line(audit, finding) for finding in found)
    if failing:
        failure = ET.Element("failure", message=plain(failing[0].statement), type="fail")
        failure.text = "\n".join(_line(audit, finding) for finding in failing)
        case.insert(0, failure)
        return "failures"
    if check.outcome in {"not_measured", "not_applicable"}:
        case.insert(
            0, ET.Element("skipped", message=plain(f"{check.outcome.replace('_', ' ')}: {check.reason}"))
        )
        return "skipped"
    return None


def _line(audit: Audit, finding: Finding) -> str:
    reason = waiver(audit, finding)
    evidence = "; ".join(proof(each) for each in finding.evidence)
    note = f" WAIVED: {reason}." if reason else ""
    return f"{finding.severity}: {where(audit, finding)}: {plain(finding.statement)}{note} [{evidence}]"
