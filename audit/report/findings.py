"""Findings, always in the same order: statement, evidence, confirmation, cause, impact, remedy, limits, how to repeat it."""

from collections.abc import Sequence
from typing import NamedTuple

from audit.report.anatomy import target_of, title_of
from audit.report.blocks import Entry, EvidenceRow, FindingCard, Highlight, Medium, Row
from audit.report.cells import why_absent
from audit.report.digest import EVIDENCE
from audit.report.exhibits import pattern_anchor
from audit.report.places import place
from audit.report.wording import anchor, counted, estimate, gist, number, sentence
from audit.results import Audit, Evidence, Finding
from audit.verdict import waived

_ONE_LINE = 300  # characters


class _Word(NamedTuple):
    rank: int
    word: str
    meaning: str


WORDS = {
    "fail": _Word(0, "fail", "The policy forbids promotion with it."),
    "watch": _Word(1, "watch", "It does not forbid promotion; someone should keep an eye on it."),
    "info": _Word(2, "remark", "It is a remark and forbids nothing."),
}
CONFIRMATION = {
    "confirmed": "Confirmed",
    "not_confirmed": "Not confirmed",
    "needs_more_samples": "Undecided, needs more samples",
    "not_attempted": "Not attempted",
    "absolute": "Needs none",
}


def ranked(audit: Audit) -> list[Finding]:
    """Findings, the gravest first, then in the order of the audit."""
    return sorted(audit.findings, key=lambda finding: WORDS[finding.severity].rank)


def finding_anchor(finding: Finding) -> str:
    """Where the page shows `finding`."""
    return anchor("finding", finding.id)


def label(audit: Audit, finding: Finding) -> str:
    """A short name for people: what the rule is called, what of, and where."""
    rule = audit.rules.get(finding.rule)
    title = rule.title if rule else finding.rule
    topic = f": {finding.topic}" if finding.topic else ""
    if finding.layer is None:
        which = finding.id.removeprefix(finding.rule).rpartition("-")[2].replace("_", " ")
        return f"{title}{topic or (which and f': {which}')}"
    return f"{title}{topic}, {place(audit.coverage, finding.layer, finding.head)}"


def highlight(audit: Audit, finding: Finding, *, target: str, room: int = _ONE_LINE) -> Highlight:
    """The finding in one line of at most `room` letters and its label."""
    return Highlight(
        target=target,
        severity=finding.severity,
        word=WORDS[finding.severity].word,
        label=label(audit, finding),
        statement=gist(finding.statement, room),
    )


def cards(audit: Audit, shown: Sequence[Finding], *, medium: Medium) -> tuple[FindingCard, ...]:
    """Findings in full; print gives the limits and references of a rule once, at its first finding."""
    known: set[str] = set()
    made = []
    for order, finding in enumerate(shown):
        again = medium == "print" and finding.rule in known
        made.append(card(audit, finding, order=order, rows=EVIDENCE[medium], again=again))
        known.add(finding.rule)
    return tuple(made)


def card(
    audit: Audit, finding: Finding, *, order: int = 0, rows: int = EVIDENCE["screen"], again: bool = False
) -> FindingCard:
    """The finding in full, with so many rows of evidence; `again` leaves out what its whole rule has in common."""
    left = len(finding.evidence) - rows
    return FindingCard(
        anchor=finding_anchor(finding),
        id=finding.id,
        label=label(audit, finding),
        rule_target=anchor("rule", finding.rule) if any(c.rule == finding.rule for c in audit.checks) else "",
        severity=finding.severity,
        severity_word=WORDS[finding.severity].word,
        layer="" if finding.layer is None else str(finding.layer),
        head="" if finding.head is None else str(finding.head),
        order=str(order),
        statement=finding.statement,
        evidence=tuple(_evidence(audit, item) for item in finding.evidence[:rows]),
        evidence_note=f"{counted(left, 'more row')} in the HTML report." if left > 0 else "",
        facts=_facts(audit, finding)[: -1 if again else None],
        references=() if again else finding.references,
        reproduce=finding.reproduce,
        exhibits=_exhibits(audit, finding),
    )


def _facts(audit: Audit, finding: Finding) -> tuple[Row, ...]:
    status = CONFIRMATION[finding.confirmation.status]
    return (
        Row(label="Confirmation", text=sentence(f"{status}: {finding.confirmation.reason}")),
        Row(label="Cause", text=sentence(finding.cause)),
        Row(label="Impact", text=f"{_effect(audit, finding)} {_weight(audit, finding)}"),
        Row(label="Remedy", text=_remedy(finding)),
        Row(label="Limits", text=sentence(finding.limits)),
    )


def _effect(audit: Audit, finding: Finding) -> str:
    """What the model loses without the flagged part, or why that is not known."""
    details, ablation = finding.confirmation.details, audit.ablation
    if details.get("effect") is None or ablation is None or ablation.measure is None:
        return "What it costs the model was not measured."
    cost = estimate(details["effect"], details.get("low"), details.get("high"))
    margin = "" if ablation.margin is None else f"; below {number(ablation.margin)} it is harmless"
    return (
        f"Taking it out moves the {ablation.measure} by {cost} {ablation.unit or ''}".rstrip() + f"{margin}."
    )


def _weight(audit: Audit, finding: Finding) -> str:
    if waived(finding, audit.policy):
        return "A waiver in force excuses it."
    return WORDS[finding.severity].meaning


def _remedy(finding: Finding) -> str:
    advice = sentence(finding.mitigation)
    return (
        f"Tried: {sentence(finding.remedy)} Advised: {advice}"
        if finding.remedy
        else f"Advised, not tried here: {advice}"
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
