"""What a template may say: the page, block by block."""

from dataclasses import dataclass

from markupsafe import Markup

from audit.report.blocks import (
    Anatomy,
    Entry,
    FindingCard,
    Highlight,
    Medium,
    MethodBlock,
    PeopleBlock,
    Provenance,
    RedundancyBlock,
    RuleBlock,
    Summary,
    TrainingBlock,
)
from audit.report.causes import CauseBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything a page says: exactly the names that the templates use."""

    medium: Medium
    title: str
    name: str
    kicker: str
    identity: str
    created: str  # ISO 8601
    date: str
    description: str
    generator: str
    style: Markup
    content_policy: str
    contents: tuple[Entry, ...]
    summary: Summary
    causes: tuple[CauseBlock, ...]
    findings: tuple[FindingCard, ...]
    findings_note: str
    further_findings: tuple[Highlight, ...]
    further_note: str
    redundancy: RedundancyBlock
    people: PeopleBlock
    training: TrainingBlock
    anatomy: Anatomy
    methods: tuple[MethodBlock, ...]
    nulls: tuple[MethodBlock, ...]
    rules: tuple[RuleBlock, ...]
    probes: tuple[tuple[str, str, str, str, str], ...]  # name, documents, samples, tokens, digest and remark
    provenance: Provenance
