"""What a template may say: the page, block by block."""

from dataclasses import dataclass

from markupsafe import Markup

from audit.report.blocks import (
    Anatomy,
    Baseline,
    Entry,
    FindingCard,
    Highlight,
    MethodBlock,
    PeopleBlock,
    Provenance,
    Row,
    RuleBlock,
    Summary,
    TrainingBlock,
)
from audit.report.causes import CauseBlock
from audit.report.document import Document
from audit.report.picker import Picker
from audit.report.published import PublishedSet
from audit.report.reach import ReachSection
from audit.report.redundancy_blocks import RedundancyBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Document):
    """Everything a page says: exactly the names that the templates use."""

    name: str
    classification: str  # who may read it, or empty
    kicker: str
    identity: str
    created: str  # ISO 8601
    date: str
    script: Markup  # empty in print
    contents: tuple[Entry, ...]
    left_out: tuple[Row, ...]  # of a digest, and where it is found
    summary: Summary
    baseline: Baseline | None
    causes: tuple[CauseBlock, ...]
    findings: tuple[FindingCard, ...]
    findings_note: str
    further_findings: tuple[Highlight, ...]
    further_note: str
    redundancy: RedundancyBlock
    people: PeopleBlock
    published: tuple[PublishedSet, ...]
    training: TrainingBlock
    reach: ReachSection
    picker: Picker | None  # screen only
    anatomy: Anatomy
    methods: tuple[MethodBlock, ...]
    nulls: tuple[MethodBlock, ...]
    methods_note: str
    rules: tuple[RuleBlock, ...]
    quiet_rules: tuple[RuleBlock, ...]  # that passed or do not apply
    quiet_note: str
    probes: tuple[tuple[str, str, str, str, str], ...]  # name, documents, samples, tokens, digest and remark
    provenance: Provenance
