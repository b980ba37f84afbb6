"""Two published audits held against each other: what changed, and whether that is a regression.

A regression is a finding of severity `fail` that was not there (or was milder) before, or a verdict that is worse:
pass, watch, inconclusive, fail, in this order.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from audit import store as stores
from audit.compare.comparable import refuse_strangers, shared_probes
from audit.compare.differences import differences
from audit.compare.findings import changes
from audit.compare.layers import aligned
from audit.compare.records import Comparison, Difference, FindingChange, Side
from audit.errors import NotComparable, OtherSchema
from audit.results import Audit
from audit.store import Entry

SCHEMA: Final = "1.0"
_VERDICTS: Final = ("pass", "watch", "inconclusive", "fail")  # the worst last


def entry_at(folder: Path) -> Entry:
    """The published audit in `folder`. Raises UnusableInput without one, NotComparable where its schema is another."""
    try:
        return Entry(folder, stores.read(folder))
    except OtherSchema as error:
        raise NotComparable(f"not comparable: {error}") from None


def compare(before: Path, after: Path) -> Comparison:
    """What the audit in `after` says against that in `before`. Raises NotComparable where that means nothing."""
    entries = entry_at(before), entry_at(after)
    one, other = (entry.audit for entry in entries)
    refuse_strangers(one, other)
    probes = shared_probes(one, other)
    alignment = aligned(one, other)
    found = differences(*entries, probes=probes, alignment=alignment)
    if not found:
        raise NotComparable(
            "not comparable: no metric has a number in both audits; name the same with --metric"
        )
    findings = changes(one, other, alignment)
    return Comparison(
        schema_version=SCHEMA,
        before=side(one),
        after=side(other),
        alignment=alignment,
        probes=probes,
        differences=found,
        methods={
            name: (one.methods | other.methods)[name] for name in found if name in one.methods | other.methods
        },
        tested=sum(each.cells for each in _each(found) if each.q is not None),
        changed=sum(len(each.changed) for each in _each(found)),
        findings=findings,
        regressions=tuple(_regressions(one, other, findings)),
        remarks=tuple(_remarks(one, other, probes)),
    )


def side(audit: Audit) -> Side:
    """What a reader must know of one of the audits."""
    return Side(
        path=audit.provenance.path,
        audit_id=audit.audit_id,
        verdict=audit.verdict,
        policy=audit.policy.name,
        started=audit.provenance.started,
        architecture=audit.subject.architecture,
        parameters=audit.subject.parameters,
        layers=len(audit.coverage.layers),
    )


def _each(found: dict[str, dict[str, Difference]]) -> Iterator[Difference]:
    return (each for by_probe in found.values() for each in by_probe.values())


def _regressions(before: Audit, after: Audit, findings: Sequence[FindingChange]) -> Iterator[str]:
    if _VERDICTS.index(after.verdict) > _VERDICTS.index(before.verdict):
        yield f"the verdict was {before.verdict} and is {after.verdict}"
    for finding in findings:
        if finding.after == "fail" and finding.state in {"new", "worse"}:
            yield f"{finding.state} finding of severity fail: {finding.statement}"


def _remarks(before: Audit, after: Audit, probes: Sequence[str]) -> Iterator[str]:
    if before.policy.digest != after.policy.digest:
        yield (
            f"judged by different policies ({before.policy.name} before, {after.policy.name} after): findings and "
            "verdict may differ for that alone; run one again with the policy of the other, nothing is measured anew"
        )
    for what, one, other in (
        ("precision", before.provenance.dtype, after.provenance.dtype),
        ("device", before.provenance.device, after.provenance.device),
        ("architecture", before.subject.architecture, after.subject.architecture),
        ("number of heads", before.subject.heads, after.subject.heads),
    ):
        if one != other:
            yield f"another {what}: {one} before, {other} after"
    if before.skew or after.skew:
        yield "how attention is allotted to groups of people is compared by its findings only"
    yield from _left_out(before, after, probes)


def _left_out(before: Audit, after: Audit, probes: Sequence[str]) -> Iterator[str]:
    for when, audit, other in (("before", before, after), ("after", after, before)):
        fed = [probe.name for probe in audit.coverage.probes if probe.name not in probes]
        alone = sorted(audit.measurements.keys() - other.measurements.keys())
        if fed:
            yield f"not compared, fed or cut differently {when}: {', '.join(fed)}"
        if alone:
            yield f"measured {when} only: {', '.join(alone)}"
    for probe in (
        each for each in after.coverage.probes if each.name in probes and each.documents < each.samples
    ):
        yield (
            f"{probe.name}: {probe.samples} windows of {probe.documents} documents are taken for so many independent "
            "texts; its intervals are somewhat too short"
        )
