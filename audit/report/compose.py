"""From an audit to a page: which sections there are, in the order in which a reviewer needs them."""

from pathlib import Path

from markupsafe import Markup

from audit.report import anatomy, appendix, templating
from audit.report.blocks import Anatomy, Entry, Medium
from audit.report.causes import causes
from audit.report.exhibits import pattern_sections
from audit.report.findings import card, finding_anchor, highlight, ranked
from audit.report.nulls import nulls
from audit.report.page import Page
from audit.report.people import people
from audit.report.places import map_of_layers, name_of
from audit.report.redundancy import redundancy
from audit.report.summary import summary
from audit.report.trainability import section_of
from audit.report.training import training
from audit.report.wording import counted
from audit.results import Audit, Finding

_CARDS = {"screen": 200, "print": 20}  # findings in full; print is a bounded digest
_LINES = {"screen": 2000, "print": 60}  # further findings, one line each
_LISTED = 30  # findings in the contents
_PATTERNS = {"screen": 40, "print": 6}


def page_of(audit: Audit, folder: Path, *, medium: Medium, created: str) -> Page:
    """Everything the page says; reads `exhibits/` of `folder`. `created` is an ISO 8601 time."""
    findings = ranked(audit)
    shown, rest = findings[: _CARDS[medium]], findings[_CARDS[medium] :]
    style = templating.style_of(medium)
    name = name_of(audit.provenance.path)
    verdict = audit.verdict.upper()
    return Page(
        medium=medium,
        title=f"Attention audit of {name}: {verdict}",
        name=name,
        kicker="Attention audit",
        identity=audit.audit_id[:12],
        created=created,
        date=created[:10],
        description=f"Verdict {verdict} under policy {audit.policy.name}; audit {audit.audit_id}.",
        generator=f"attention-audit {audit.provenance.versions.get('attention-audit', '')}".strip(),
        style=Markup(style),  # noqa: S704 - our own style sheet
        content_policy=templating.content_policy(style),
        contents=_contents(shown),
        summary=summary(audit),
        causes=causes(audit, shown=shown),
        findings=tuple(card(audit, finding) for finding in shown),
        findings_note=_findings_note(audit),
        further_findings=tuple(highlight(audit, f, target="") for f in rest[: _LINES[medium]]),
        further_note=_further_note(rest, medium),
        redundancy=redundancy(audit, folder, medium=medium, shown=shown),
        people=people(audit, medium=medium),
        training=training(audit, medium=medium),
        anatomy=_anatomy(audit, folder, shown, medium=medium),
        methods=appendix.methods(audit),
        nulls=nulls(audit),
        rules=appendix.rules(audit),
        probes=appendix.probes(audit),
        provenance=appendix.provenance(audit),
    )


def _anatomy(audit: Audit, folder: Path, shown: list[Finding], *, medium: Medium) -> Anatomy:
    anchors = {finding.id: finding_anchor(finding) for finding in shown}
    patterns = pattern_sections(
        audit,
        folder,
        limit=_PATTERNS[medium],
        dark=medium == "screen",
        link=lambda finding: anchors.get(finding, ""),
    )
    hidden = sum(exhibit.kind == "pattern" for exhibit in audit.exhibits) - len(patterns)
    return Anatomy(
        note=map_of_layers(audit.coverage),
        legend=_legend(audit, medium),
        heads=anatomy.head_sections(audit, medium=medium),
        depth=anatomy.depth_sections(audit, medium=medium),
        totals=anatomy.totals(audit),
        patterns=patterns,
        patterns_note=f"{counted(hidden, 'more pattern')} in the audit's folder, exhibits." if hidden else "",
        trainability=section_of(audit, folder, medium=medium),
    )


def _legend(audit: Audit, medium: Medium) -> str:
    words = (
        "Layers and heads count from 0. Grey cells have no value. "
        "The sign ± stands before the typical (median) half-width of the 95% intervals."
    )
    if any(finding.head is not None for finding in audit.findings):
        words += " Heads with a finding are ringed."
    if medium == "print" and len(audit.coverage.probes) > 1:
        words += f" Grids show the probe {audit.coverage.probes[0].name}; the others are in the HTML report."
    return words


def _findings_note(audit: Audit) -> str:
    if audit.findings:
        return ""
    return "No rule flagged anything. What was checked, and how, is under Rules."


def _further_note(rest: list[Finding], medium: Medium) -> str:
    left = len(rest) - _LINES[medium]
    return f"{counted(left, 'more finding')} in audit.json." if left > 0 else ""


def _contents(shown: list[Finding]) -> tuple[Entry, ...]:
    findings = tuple(Entry(target=finding_anchor(finding), text=finding.id) for finding in shown[:_LISTED])
    redundancy_parts = (
        Entry(target="ablations", text="Ablation"),
        Entry(target="curves", text="Drop curves"),
        Entry(target="likeness", text="Likeness of heads"),
    )
    anatomy_parts = (
        Entry(target="heads", text="Heads"),
        Entry(target="depth", text="Depth"),
        Entry(target="trainability", text="Trainability"),
        Entry(target="patterns", text="Patterns"),
    )
    return (
        Entry(target="summary", text="Summary"),
        Entry(target="findings", text="Findings", children=findings),
        Entry(target="redundancy", text="Redundancy", children=redundancy_parts),
        Entry(target="people", text="Groups of people"),
        Entry(target="training", text="Training record"),
        Entry(target="anatomy", text="Anatomy", children=anatomy_parts),
        Entry(target="method", text="Method"),
        Entry(target="rules", text="Rules"),
        Entry(target="probes", text="Probes"),
        Entry(target="provenance", text="Provenance"),
        Entry(target="glossary", text="Glossary"),
    )
