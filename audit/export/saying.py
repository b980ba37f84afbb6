"""What every form says of an audit, in plain words that are safe to quote."""

from audit.report.places import name_of, place
from audit.report.wording import estimate, legible
from audit.results import Audit, Evidence, Finding
from audit.verdict import waived


def plain(text: str) -> str:
    """`text` on one line, invisible characters spelled out, over-long words clipped."""
    return " ".join(str(legible(text)).split())


def name(audit: Audit) -> str:
    """The checkpoint's short name."""
    return plain(name_of(audit.provenance.path))


def where(audit: Audit, finding: Finding) -> str:
    """`layer 3, head 7`."""
    return place(audit.coverage, finding.layer, finding.head)


def waiver(audit: Audit, finding: Finding) -> str | None:
    """The reason and owner of the waiver in force that covers `finding`; None where nothing does."""
    if not waived(finding, audit.policy):
        return None
    covering = (
        each
        for each in audit.policy.waivers
        if each["in_force"] and each["rule"] == finding.rule and each.get("where", finding.id) == finding.id
    )
    return "; ".join(f"{plain(each['reason'])} ({plain(each['owner'])})" for each in covering)


def expired(audit: Audit) -> list[str]:
    """A sentence for each waiver that does not count any more."""
    return [
        f"The waiver of {plain(each['rule'])} by {plain(each['owner'])} expired on {plain(each['expires'])}: "
        "it counts as none."
        for each in audit.policy.waivers
        if not each["in_force"]
    ]


def unmeasured(audit: Audit) -> list[str]:
    """What the audit says nothing about, and why: layers, metrics, rules."""
    layers = [
        f"layer {each.index}: {each.reason or 'not observed'}"
        for each in audit.coverage.layers
        if not each.observed
    ]
    metrics = [f"{each.metric}: {each.reason}" for each in audit.coverage.skipped]
    rules = [f"{each.rule}: {each.reason}" for each in audit.checks if each.outcome == "not_measured"]
    return [plain(each) for each in (*layers, *metrics, *rules)]


def proof(evidence: Evidence) -> str:
    """One number a finding rests on: `attention_entropy on prose 0.06 [0.05, 0.07], threshold 0.1`."""
    value = "absent" if evidence.value is None else estimate(evidence.value, evidence.low, evidence.high)
    words = [f"{evidence.metric}{f' on {evidence.probe}' if evidence.probe else ''} {value}"]
    words += [f"null {estimate(evidence.null, None, None)}"] if evidence.null is not None else []
    words += (
        [f"threshold {estimate(evidence.threshold, None, None)}"] if evidence.threshold is not None else []
    )
    return plain(", ".join(words))
