"""Findings new, gone and unchanged: by rule and place, the place seen through the alignment of layers."""

from collections.abc import Mapping
from typing import Final

from audit.compare.records import Alignment, FindingChange, State
from audit.results import Audit, Finding, Severity

GRADES: Final[Mapping[Severity, int]] = {"info": 0, "watch": 1, "fail": 2}
_ORDER: Final = ("new", "worse", "unchanged", "milder", "gone")
_Key = tuple[str, int | None, int | None, str]


def changes(before: Audit, after: Audit, alignment: Alignment) -> tuple[FindingChange, ...]:
    """Every finding of either audit, what is new and bad first."""
    forward = dict(alignment.pairs)
    old = {
        _key(finding, None if finding.layer is None else forward.get(finding.layer, ~finding.layer)): finding
        for finding in before.findings
    }
    new = {_key(finding, finding.layer): finding for finding in after.findings}
    found = [
        _change(old.get(key), new.get(key), before, after, alignment) for key in dict.fromkeys([*new, *old])
    ]
    return tuple(sorted(found, key=lambda each: (_ORDER.index(each.state), -_grade(each))))


def _key(finding: Finding, layer: int | None) -> _Key:
    """Rule, layer of the second audit (below zero: it has none), head, and what else the id tells apart."""
    place = "".join(
        f"-{letter}{number:03d}"
        for letter, number in (("l", finding.layer), ("h", finding.head))
        if number is not None
    )
    return finding.rule, layer, finding.head, finding.id.removeprefix(f"{finding.rule}{place}")


def _change(
    old: Finding | None, new: Finding | None, before: Audit, after: Audit, alignment: Alignment
) -> FindingChange:
    shown = new or old
    assert shown is not None  # noqa: S101 - one of them gave the key
    return FindingChange(
        state=_state(old, new),
        rule=shown.rule,
        layer=shown.layer,
        head=shown.head,
        before=old.severity if old else None,
        after=new.severity if new else None,
        statement=shown.statement,
        note=_note(shown, new is None, alignment, after if new is None else before)
        if not (old and new)
        else "",
    )


def _state(old: Finding | None, new: Finding | None) -> State:
    if old is None or new is None:
        return "new" if old is None else "gone"
    step = GRADES[new.severity] - GRADES[old.severity]
    return "worse" if step > 0 else "milder" if step < 0 else "unchanged"


def _note(shown: Finding, gone: bool, alignment: Alignment, other: Audit) -> str:
    """Why the other audit does not have it, where more is known than that it was not flagged."""
    if shown.layer is not None and shown.layer in (alignment.gone if gone else alignment.new):
        return "its layer has no counterpart"
    outcome = next((check.outcome for check in other.checks if check.rule == shown.rule), None)
    side = "after" if gone else "before"
    if outcome in {"not_measured", "not_applicable"}:
        return f"the rule was not {'measured' if outcome == 'not_measured' else 'applicable'} {side}"
    return "" if outcome else f"the rule was not asked {side}"


def _grade(change: FindingChange) -> int:
    severity = change.after or change.before
    return GRADES[severity] if severity else 0
