"""Which parts of a model are to go: those that an audit confirmed redundant, or those that a user names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from audit.errors import UnusableInput
from audit.interventions.candidates import HEAD_RULES
from audit.results import Audit, Finding

_ATTENTION_RULES = ("lazy_layer", "attention_as_mlp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What goes, each part with the reason; layers are indices into `coverage.layers`."""

    blocks: dict[int, str] = field(default_factory=dict)
    attention: dict[int, str] = field(default_factory=dict)
    heads: dict[tuple[int, int], str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()  # what was confirmed and stays all the same, and why

    def __bool__(self) -> bool:
        """Whether anything goes."""
        return bool(self.blocks or self.attention or self.heads)


def confirmed_parts(audit: Audit) -> Choice:
    """What findings and drop curve of `audit` bear out.

    Heads and attention sublayers can only be silenced. What was confirmed while a constant stood in for it goes only
    where silence was measured to be harmless too.

    Raises:
        UnusableInput: nothing was confirmed; the message says what was done instead.
    """
    blocks = _blocks_of_the_curve(audit)
    attention: dict[int, str] = {}
    heads: dict[tuple[int, int], str] = {}
    kept = []
    for finding in audit.findings:
        if finding.confirmation.status != "confirmed" or finding.layer is None:
            continue
        if (why := _why_not_silent(finding)) is not None:
            kept.append(f"{finding.id}: {why}")
        elif finding.rule == "redundant_layer":
            blocks.setdefault(finding.layer, f"confirmed by {finding.id}")
        elif finding.rule in _ATTENTION_RULES:
            attention.setdefault(finding.layer, f"confirmed by {finding.id}")
        elif finding.rule in HEAD_RULES and finding.head is not None:
            heads.setdefault((finding.layer, finding.head), f"confirmed by {finding.id}")
    made = Choice(blocks=blocks, attention=attention, heads=heads, kept=tuple(kept))
    if not made:
        raise UnusableInput(_nothing(audit, kept))
    return made


def named_parts(audit: Audit, layers: Collection[int], heads: Collection[tuple[int, int]]) -> Choice:
    """The blocks of these layers and these heads, confirmed or not; each says which."""
    known = _confirmed_or_nothing(audit)
    return Choice(
        blocks={layer: known.blocks.get(layer, "named; not confirmed by the audit") for layer in layers},
        heads={head: known.heads.get(head, "named; not confirmed by the audit") for head in heads},
    )


def _confirmed_or_nothing(audit: Audit) -> Choice:
    try:
        return confirmed_parts(audit)
    except UnusableInput:
        return Choice()


def _blocks_of_the_curve(audit: Audit) -> dict[int, str]:
    """The first blocks of the drop curve that together stay inside the margin."""
    for curve in audit.drop_curves:
        if curve.kind == "blocks" and curve.harmless:
            why = f"harmless together on the drop curve, first {curve.harmless} of {curve.of} blocks"
            return {step.layer: why for step in curve.steps[: curve.harmless]}
    return {}


def _why_not_silent(finding: Finding) -> str | None:
    """Why the confirmed part may not be silenced, or None where silence is as harmless."""
    details: Mapping[str, Any] = finding.confirmation.details
    wanted = "zero" if finding.head is not None else "skip"
    silent = details if details.get("replacement") == wanted else details.get("others", {}).get(wanted)
    if silent is None:
        return "what it costs to silence it was not measured; --depth full measures it"
    if silent.get("high") is None or silent["high"] >= details["margin"]:
        return "it holds a constant that matters: silencing it is not inside the margin"
    return None


def _nothing(audit: Audit, kept: Collection[str]) -> str:
    by_hand = "name parts with --layers or --heads to take them out all the same"
    if kept:
        return f"nothing can be pruned: {'; '.join(kept)}; {by_hand}"
    if not audit.drop_curves:
        return f"audit {audit.audit_id} took nothing out: run it at --depth standard without --no-confirm, or {by_hand}"
    untested = sum(finding.confirmation.status == "needs_more_samples" for finding in audit.findings)
    more = f" ({untested} undecided: more --samples may decide)" if untested else ""
    return (
        f"audit {audit.audit_id} confirmed nothing redundant{more}, so there is nothing to prune; {by_hand}"
    )
