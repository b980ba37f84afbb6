"""From an audit to a page: which sections there are, in the order in which a reviewer needs them."""

from collections import Counter
from collections.abc import Container
from pathlib import Path

from markupsafe import Markup

from audit.compare.records import Comparison
from audit.report import anatomy, appendix, templating
from audit.report.baseline import baseline
from audit.report.blocks import Anatomy, Entry, Medium
from audit.report.causes import causes
from audit.report.digest import CARDS, LINES, PATTERNS, cited, left_out
from audit.report.exhibits import pattern_sections
from audit.report.findings import cards, finding_anchor, highlight, label, ranked
from audit.report.nulls import nulls
from audit.report.page import Page
from audit.report.people import people
from audit.report.picker import picker
from audit.report.places import map_of_layers, name_of
from audit.report.published import published
from audit.report.reach import reach_section
from audit.report.redundancy import redundancy
from audit.report.summary import summary
from audit.report.trainability import section_of
from audit.report.training import training
from audit.report.wording import counted
from audit.results import Audit, Finding

_LISTED = 30  # findings in the contents
_ROOM = {"screen": 300, "print": 120}  # letters of a further finding


def page_of(
    audit: Audit, folder: Path, *, medium: Medium, created: str, since: Comparison | None = None
) -> Page:
    """Everything the page says; reads `exhibits/` of `folder`.

    `created` is an ISO 8601 time, `since` what changed since a baseline.
    """
    findings = ranked(audit)
    shown, rest = findings[: CARDS[medium]], findings[CARDS[medium] :]
    defined = cited(shown) if medium == "print" else frozenset(audit.methods)
    style = templating.style_of(medium)
    script = templating.script_of("report") if medium == "screen" else ""
    name = name_of(audit.provenance.path)
    verdict = audit.verdict.upper()
    return Page(
        medium=medium,
        title=f"Attention audit of {name}: {verdict}",
        name=name,
        classification=audit.policy.classification or "",
        kicker=" · ".join(filter(None, ("Attention audit", audit.policy.classification))),
        identity=audit.audit_id[:12],
        created=created,
        date=created[:10],
        description=f"Verdict {verdict} under policy {audit.policy.name}; audit {audit.audit_id}.",
        generator=f"attention-audit {audit.provenance.versions.get('attention-audit', '')}".strip(),
        style=Markup(style),  # noqa: S704 - our own style sheet
        script=Markup(f"<script>{script}</script>" if script else ""),  # noqa: S704 - our own script
        content_policy=templating.content_policy(style, script or None),
        contents=_contents(audit, shown, medium),
        left_out=left_out(audit, defined=defined) if medium == "print" else (),
        summary=summary(audit, medium=medium),
        baseline=baseline(since, medium=medium),
        causes=causes(audit, shown=shown),
        findings=cards(audit, shown, medium=medium),
        findings_note=_findings_note(audit),
        further_findings=tuple(
            highlight(audit, f, target="", room=_ROOM[medium]) for f in rest[: LINES[medium]]
        ),
        further_note=_further_note(rest, medium),
        redundancy=redundancy(audit, folder, medium=medium, shown=shown),
        people=people(audit, medium=medium),
        published=published(audit, medium=medium),
        training=training(audit, medium=medium),
        reach=reach_section(audit),
        picker=picker(audit, folder) if medium == "screen" else None,
        anatomy=_anatomy(audit, folder, shown, medium=medium, defined=defined),
        methods=appendix.methods(audit, defined=defined),
        methods_note=_methods_note(audit, defined),
        nulls=nulls(audit),
        rules=appendix.rules(audit, quiet=False),
        quiet_rules=appendix.rules(audit, quiet=True),
        quiet_note=_quiet_note(audit),
        probes=appendix.probes(audit),
        provenance=appendix.provenance(audit, medium=medium),
    )


def _anatomy(
    audit: Audit, folder: Path, shown: list[Finding], *, medium: Medium, defined: Container[str]
) -> Anatomy:
    anchors = {finding.id: finding_anchor(finding) for finding in shown}
    patterns = pattern_sections(
        audit,
        folder,
        limit=PATTERNS[medium],
        link=lambda finding: anchors.get(finding, ""),
    )
    hidden = sum(exhibit.kind == "pattern" for exhibit in audit.exhibits) - len(patterns)
    return Anatomy(
        note=map_of_layers(audit.coverage),
        legend=_legend(audit, medium),
        heads=anatomy.head_sections(audit, medium=medium, defined=defined),
        depth=anatomy.depth_sections(audit, medium=medium, defined=defined),
        totals=anatomy.totals(audit, defined=defined),
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
    left = len(rest) - LINES[medium]
    return f"{counted(left, 'more finding')} in audit.json." if left > 0 else ""


def _methods_note(audit: Audit, defined: Container[str]) -> str:
    others = [record.title for name, record in sorted(audit.methods.items()) if name not in defined]
    return f"Defined in the HTML report and in audit.json: {', '.join(others)}." if others else ""


def _quiet_note(audit: Audit) -> str:
    """How many checks found nothing, and how many do not apply to this model."""
    outcomes = Counter(check.outcome for check in audit.checks)
    apart = outcomes["not_applicable"]
    words = f"{outcomes['passed']} of {counted(len(audit.checks), 'check')} passed"
    return words + (f", {apart} {'does' if apart == 1 else 'do'} not apply" if apart else "")


def _contents(audit: Audit, shown: list[Finding], medium: Medium) -> tuple[Entry, ...]:
    findings = tuple(
        Entry(target=finding_anchor(finding), text=label(audit, finding)) for finding in shown[:_LISTED]
    )
    redundancy_parts = (
        Entry(target="ablations", text="Ablation"),
        Entry(target="curves", text="Drop curves"),
        Entry(target="likeness", text="Likeness of heads"),
    )
    anatomy_parts = (
        *((Entry(target="picker", text="At a glance"),) if medium == "screen" else ()),
        Entry(target="heads", text="Heads"),
        Entry(target="depth", text="Depth"),
        Entry(target="trainability", text="Trainability"),
        Entry(target="reach", text="Reach"),
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
