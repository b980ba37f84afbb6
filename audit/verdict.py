"""From findings, checks and coverage to one word: what counts, what is waived, what the policy misses."""

from collections.abc import Iterator, Sequence

from audit.policy import Policy
from audit.results import Check, Finding, PolicyRecord, Verdict
from audit.results.demographics import Skew
from audit.results.subject import Coverage


def waived(finding: Finding, record: PolicyRecord) -> bool:
    """Whether a waiver in force covers `finding`."""
    return any(
        waiver["in_force"]
        and waiver["rule"] == finding.rule
        and waiver.get("where", finding.id) == finding.id
        for waiver in record.waivers
    )


def unmet(
    policy: Policy, checks: Sequence[Check], coverage: Coverage, skew: Sequence[Skew] = ()
) -> Iterator[str]:
    """What the policy demands and this audit does not give, a sentence each."""
    for check in checks:
        if check.outcome == "not_measured" and check.rule in policy.required:
            yield f"rule {check.rule} is required and could not be judged: {check.reason}"
    yield from _unfed(policy, coverage, skew)
    layers = coverage.layers
    observed = sum(layer.observed for layer in layers)
    if observed < policy.coverage.layers * len(layers):
        yield (
            f"{observed} of {len(layers)} attention layers were observed: {policy.coverage.layers:.0%} are required"
        )


def _unfed(policy: Policy, coverage: Coverage, skew: Sequence[Skew]) -> Iterator[str]:
    documents = {probe.name: probe.documents for probe in coverage.probes}
    pairs = {record.probe for record in skew if record.absent is None}
    for name in policy.coverage.probes:
        if name not in documents and name not in pairs:
            yield f"probe {name} is required and was not fed"
        elif documents.get(name, policy.coverage.documents) < policy.coverage.documents:
            yield (
                f"probe {name} was fed with {documents[name]} documents: {policy.coverage.documents} are required"
            )


def verdict(findings: Sequence[Finding], record: PolicyRecord) -> Verdict:
    """The worst of the findings that no waiver covers; inconclusive where a demand of the policy is not met."""
    severities = {finding.severity for finding in findings if not waived(finding, record)}
    if "fail" in severities:
        return "fail"
    if record.unmet:
        return "inconclusive"
    return "watch" if "watch" in severities else "pass"
