"""Applies every rule to the measurements and turns suspicions into findings, checks and a verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from audit import catalog
from audit.definitions import Case, NotApplicable, NotMeasured, Rule, Suspicion
from audit.measure import WEIGHTS
from audit.policy import Policy
from audit.results import (
    Check,
    Confirmation,
    Finding,
    Measurement,
    Null,
    RuleRecord,
    Severity,
)
from audit.results.demographics import Skew
from audit.results.reach import Reach
from audit.results.subject import Coverage, Subject
from audit.results.trainability import Trainability
from audit.results.training import Training

# What is wrong with a head is said once, by the rule that says most; duplicate_head stands beside.
PRECEDENCE = ("dead_head", "collapsed_head", "static_head", "dormant_head", "uniform_head")

_UNCONFIRMED = Confirmation(
    status="not_attempted", reason="no ablation was run; a finding that was not confirmed is at most 'watch'"
)

_BESIDE = Confirmation(
    status="not_attempted",
    reason="no ablation speaks to it: there is no part to take out; a finding that was not confirmed is at most 'watch'",
)


class Judged(NamedTuple):
    """What the rules said."""

    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    rules: dict[str, RuleRecord]


def judge(
    subject: Subject,
    coverage: Coverage,
    measurements: Mapping[str, Mapping[str, Measurement]],
    policy: Policy,
    *,
    reproduce: str,
    nulls: Mapping[str, Mapping[str, Null]] | None = None,
    trainability: Trainability | None = None,
    skew: tuple[Skew, ...] = (),
    training: Training | None = None,
    reach: Reach | None = None,
) -> Judged:
    """Findings in order of severity, layer and head; one check per rule; `reproduce` is the command to see it again."""
    findings: list[Finding] = []
    checks = []
    taken: set[tuple[int | None, int | None]] = set()
    for rule in in_precedence(catalog.rules()):
        thresholds = policy.thresholds.get(rule.name, {})
        case = Case(
            subject=subject,
            coverage=coverage,
            measurements=measurements,
            thresholds=thresholds,
            nulls=nulls or {},
            trainability=trainability,
            skew=skew,
            training=training,
            reach=reach,
        )
        judgement = rule.judge(case)
        checks.append(_check(rule, judgement))
        if isinstance(judgement, tuple) and rule.name in PRECEDENCE:
            judgement = tuple(found for found in judgement if (found.layer, found.head) not in taken)
            flagged = {(found.layer, found.head) for found in judgement if found.severity != "info"}
            checks[-1] = _after_precedence(checks[-1], left=len(flagged))
            taken |= flagged
        checks[-1] = _with_gaps(checks[-1], rule, case)
        if isinstance(judgement, tuple):
            findings += [_finding(rule, suspicion, policy, reproduce) for suspicion in judgement]
    checks.sort(key=lambda check: check.rule)
    return Judged(tuple(sorted(findings, key=_order)), tuple(checks), _records(policy))


def in_precedence(rules: Mapping[str, Rule]) -> list[Rule]:
    """The rules of `PRECEDENCE` first, in that order, then the others by name."""
    first = [rules[name] for name in PRECEDENCE if name in rules]
    return first + [rule for name, rule in rules.items() if name not in PRECEDENCE]


def _check(rule: Rule, judgement: NotApplicable | NotMeasured | tuple[Suspicion, ...]) -> Check:
    if isinstance(judgement, NotApplicable):
        return Check(rule=rule.name, outcome="not_applicable", reason=judgement.reason)
    if isinstance(judgement, NotMeasured):
        return Check(rule=rule.name, outcome="not_measured", reason=judgement.reason)
    remarks = sum(suspicion.severity == "info" for suspicion in judgement)  # by the rule's own word
    noted = f"; {remarks} remarked on, which is no flag" if remarks else ""
    if flagged := len(judgement) - remarks:
        return Check(rule=rule.name, outcome="flagged", reason=f"{flagged} flagged{noted}")
    return Check(rule=rule.name, outcome="passed", reason=f"nothing met: {rule.criterion}{noted}")


def _with_gaps(check: Check, rule: Rule, case: Case) -> Check:
    """The check of a rule that was applied, with how many heads or layers had no number to apply it to."""
    if check.outcome not in {"passed", "flagged"}:
        return check
    gaps = [words for metric in rule.reads for words in _gaps(case, metric)]
    return replace(check, reason="; ".join([check.reason, *gaps]))


def _gaps(case: Case, metric: str) -> Iterator[str]:
    """What of `metric` is absent, probe by probe."""
    by_probe = case.measurements.get(metric, {})
    if not any(isinstance(found.value, list) for found in by_probe.values()):
        yield f"{metric} was not measured"
        return
    for probe in (WEIGHTS,) if WEIGHTS in by_probe else case.texts():
        values = by_probe[probe].value if probe in by_probe else None
        if not isinstance(values, list):
            yield f"{metric} was not measured on {probe}"
            continue
        rows = [values[layer.index] for layer in case.coverage.layers if layer.heads]
        what = "heads" if any(isinstance(row, list) for row in rows) else "layers"
        cells = [cell for row in rows for cell in (row if isinstance(row, list) else [row])]
        if absent := sum(cell is None for cell in cells):
            yield f"{absent} of {len(cells)} {what} have no {metric} on {probe}"


def _after_precedence(check: Check, *, left: int) -> Check:
    """The check of a rule that flagged heads about which another rule says more."""
    if check.outcome != "flagged" or check.reason.startswith(f"{left} flagged"):
        return check
    return replace(check, reason=f"{check.reason}, {left} of them not already named by a rule that says more")


def _finding(rule: Rule, suspicion: Suspicion, policy: Policy, reproduce: str) -> Finding:
    confirmation = suspicion.confirmation or _UNCONFIRMED
    place = "".join(
        f"-{letter}{number:03d}"
        for letter, number in (("l", suspicion.layer), ("h", suspicion.head))
        if number is not None
    )
    return Finding(
        id=f"{rule.name}{place}{f'-{suspicion.about}' if suspicion.about else ''}",
        rule=rule.name,
        severity=_severity(suspicion.severity or policy.severity[rule.name], confirmation),
        layer=suspicion.layer,
        head=suspicion.head,
        cause=suspicion.cause,
        statement=suspicion.statement,
        evidence=suspicion.evidence,
        confirmation=confirmation,
        mitigation=rule.mitigation,
        remedy=suspicion.remedy,
        references=rule.references,
        limits=rule.limits,
        reproduce=reproduce,
        topic=suspicion.topic,
    )


def _severity(severity: Severity, confirmation: Confirmation) -> Severity:
    certain = confirmation.status in ("confirmed", "absolute")
    return severity if certain or severity == "info" else "watch"


def borne_out(
    findings: Sequence[Finding], confirmations: Mapping[str, Confirmation], policy: Policy
) -> tuple[Finding, ...]:
    """`findings` with what ablation showed of them, in order.

    What was confirmed has the severity of the policy; what turned out to matter is a remark, not a fault.
    """
    beside = _BESIDE if confirmations else _UNCONFIRMED
    return tuple(
        sorted((_borne_out(f, confirmations.get(f.id), beside, policy) for f in findings), key=_order)
    )


def _borne_out(
    finding: Finding, confirmation: Confirmation | None, beside: Confirmation, policy: Policy
) -> Finding:
    if confirmation is None:
        return replace(finding, confirmation=beside) if finding.confirmation == _UNCONFIRMED else finding
    severity = finding.severity
    if confirmation.details.get("matters"):
        severity = "info"
    elif confirmation.status == "confirmed" and severity == "watch":
        severity = policy.severity[finding.rule]
    return replace(finding, confirmation=confirmation, severity=severity)


def _order(finding: Finding) -> tuple[int, str, int, int]:
    rank = ("fail", "watch", "info").index(finding.severity)
    return rank, finding.rule, _place(finding.layer), _place(finding.head)


def _place(index: int | None) -> int:
    return -1 if index is None else index


def _records(policy: Policy) -> dict[str, RuleRecord]:
    return {
        rule.name: RuleRecord(
            title=rule.title,
            summary=rule.summary,
            criterion=rule.criterion,
            thresholds=policy.thresholds.get(rule.name, {}),
            mitigation=rule.mitigation,
            limits=rule.limits,
            references=rule.references,
        )
        for rule in catalog.rules().values()
    }
