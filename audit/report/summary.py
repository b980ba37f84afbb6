"""The first page: may I promote this checkpoint, how sure is that, and what was not looked at."""

from collections import Counter, defaultdict

from audit.report.blocks import Medium, Row, Summary, VerdictBlock
from audit.report.cells import cells_of
from audit.report.findings import finding_anchor, highlight, ranked
from audit.report.headline import SETTLED, headline
from audit.report.places import name_of
from audit.report.wording import anchor, counted, listed, ranges, sentence, shortened
from audit.results import Audit, Check

_SHOWN = 3
_GAPS = {"screen": 1000, "print": 6}  # things not measured


def summary(audit: Audit, *, medium: Medium) -> Summary:
    """Everything on the first page; what print has no room for is counted."""
    findings = ranked(audit)
    passed = [check for check in audit.checks if check.outcome == "passed"]
    rest = len(findings) - _SHOWN
    unmeasured = list(_unmeasured(audit))
    lacking = unmeasured[: _GAPS[medium]]
    return Summary(
        verdict=_verdict(audit),
        certainty=tuple(_certainty(audit)),
        subject=tuple(_subject(audit)),
        highlights=tuple(highlight(audit, f, target=finding_anchor(f)) for f in findings[:_SHOWN]),
        highlights_note=f"and {counted(rest, 'more finding', 'more findings')} below" if rest > 0 else "",
        unmeasured=tuple(lacking),
        unmeasured_note=f"and {len(unmeasured) - len(lacking)} more, see Rules and audit.json"
        if len(unmeasured) > len(lacking)
        else "",
        passed=tuple(_row(audit, check) for check in passed),
        passed_note=f"{len(passed)} of {counted(len(audit.checks), 'check')} passed",
    )


def _verdict(audit: Audit) -> VerdictBlock:
    kind = audit.verdict
    return VerdictBlock(kind=kind, word=kind.capitalize(), headline=headline(audit), meaning=_meaning(audit))


def _meaning(audit: Audit) -> str:
    outcomes: Counter[str] = Counter(check.outcome for check in audit.checks)
    words = {
        "passed": "passed",
        "flagged": "flagged something",
        "not_applicable": "did not apply",
        "not_measured": "could not be made",
    }
    parts = [f"{outcomes[outcome]} {word}" for outcome, word in words.items() if outcomes[outcome]]
    checks = f"Of {counted(len(audit.checks), 'check')}, {listed(parts)}." if parts else "No check was made."
    return (
        f"{checks} Judged by the policy '{audit.policy.name}'. "
        "The verdict is about attention as measured here; it says nothing of accuracy on a task."
    )


def _certainty(audit: Audit) -> list[str]:
    layers = audit.coverage.layers
    seen = [layer for layer in layers if layer.observed]
    heads = sum(layer.heads for layer in seen)
    share = "All" if len(seen) == len(layers) else f"{len(seen)} of"
    lines = [f"{share} {counted(len(layers), 'attention layer')} observed, {counted(heads, 'head')}."]
    lines += [
        f"Probe {probe.name}: {counted(probe.documents, 'document')}, {counted(probe.tokens, 'token')}."
        for probe in audit.coverage.probes
    ]
    return [*lines, _intervals(audit), *_confirmations(audit)]


def _intervals(audit: Audit) -> str:
    cells = [c for probes in audit.measurements.values() for m in probes.values() for c in cells_of(m)]
    known = [cell for cell in cells if cell.value is not None]
    sure = sum(cell.low is not None for cell in known)
    if known and sure == len(known):
        return f"Each of the {counted(sure, 'value')} carries a 95% interval."
    return f"{sure:,} of {counted(len(known), 'value')} carry a 95% interval; the others say why not."


def _confirmations(audit: Audit) -> list[str]:
    if not audit.findings:
        return []
    done = sum(finding.confirmation.status in SETTLED for finding in audit.findings)
    untried = sum(finding.confirmation.status == "not_attempted" for finding in audit.findings)
    tail = f", {untried} not put to the test" if untried else ""
    return [f"{counted(len(audit.findings), 'finding')}: {done} confirmed or in no need of it{tail}."]


def _subject(audit: Audit) -> list[Row]:
    subject = audit.subject
    grouped = "" if subject.kv_heads == subject.heads else f", {subject.kv_heads} key-value"
    rows = [
        Row(label="Checkpoint", text=name_of(audit.provenance.path)),
        Row(
            label="Architecture",
            text=f"{shortened(subject.architecture, 80)} ({subject.model_type}, {subject.task})",
        ),
        Row(label="Size", text=f"{subject.parameters:,} parameters"),
        Row(
            label="Attention",
            text=f"{counted(subject.blocks, 'block')}, {counted(subject.heads, 'head')}{grouped}",
        ),
        Row(label="Digest", text=subject.digest[:16]),
    ]
    if subject.adapter:
        rows.append(Row(label="Adapter", text=f"merged, digest {subject.adapter[:16]}"))
    return [*rows, Row(label="Audited", text=audit.provenance.started[:16].replace("T", " ") + " UTC")]


def _unmeasured(audit: Audit) -> list[Row]:
    by_reason: dict[str, list[int]] = defaultdict(list)
    for layer in audit.coverage.layers:
        if not layer.observed:
            by_reason[layer.reason or "no reason was recorded"].append(layer.index)
    rows = [Row(label="Required", text=sentence(demand)) for demand in audit.policy.unmet]
    rows += [Row(label=_layers(indices), text=sentence(reason)) for reason, indices in by_reason.items()]
    rows += [Row(label=skipped.metric, text=sentence(skipped.reason)) for skipped in audit.coverage.skipped]
    rows += [_row(audit, check) for check in audit.checks if check.outcome == "not_measured"]
    rows += [Row(label=f"Probe {p.name}", text=sentence(p.remark)) for p in audit.coverage.probes if p.remark]
    return rows + [Row(label="Checkpoint", text=sentence(remark)) for remark in audit.subject.remarks]


def _layers(indices: list[int]) -> str:
    return f"{'Layer' if len(indices) == 1 else 'Layers'} {ranges(indices)}"


def _row(audit: Audit, check: Check) -> Row:
    rule = audit.rules.get(check.rule)
    title = rule.title if rule else check.rule
    return Row(label=title, text=sentence(check.reason), target=anchor("rule", check.rule))
