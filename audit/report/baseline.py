"""What changed since the baseline, on the first page: the comparison that stands beside the audit, in a few lines."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from audit import store
from audit.compare.records import Comparison
from audit.report.blocks import Baseline, Medium
from audit.report.comparison import headline, place_of, states_of, title_of
from audit.report.places import name_of
from audit.report.wording import counted, listed, sentence

BASELINE = "baseline.json"  # the comparison, beside audit.json
_SHOWN = 3  # new or worse findings, and metrics
_REMARKS = {"screen": 100, "print": 2}


def kept(folder: Path, audit_id: str) -> Comparison | None:
    """The comparison that was published with the audit in `folder`; one of another audit or schema is none."""
    if BASELINE not in store.listed(folder):
        return None
    try:
        found = msgspec.json.decode((folder / BASELINE).read_bytes(), type=Comparison)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.after.audit_id == audit_id else None


def baseline(found: Comparison | None, *, medium: Medium) -> Baseline | None:
    """The block of the first page, where the audit was held against another."""
    if found is None:
        return None
    return Baseline(headline=headline(found), lines=tuple(map(sentence, _lines(found, medium))))


def _lines(found: Comparison, medium: Medium) -> list[str]:
    before = found.before
    left = len(found.remarks) - _REMARKS[medium]
    return [
        (
            f"baseline: {name_of(before.path)}, audit {before.audit_id[:12]} of {before.started[:10]}; its verdict was "
            f"{before.verdict}, now it is {found.after.verdict}"
        ),
        *_findings(found),
        _moved(found),
        *found.remarks[: _REMARKS[medium]],
        *(
            [f"{counted(left, 'more remark')} on how far the two can be compared in the HTML report"]
            if left > 0
            else []
        ),
    ]


def _findings(found: Comparison) -> Iterator[str]:
    """What came and went; what only one side looked for has neither come nor gone."""
    known = [change for change in found.findings if not change.note]
    yield f"findings: {states_of(known)}"
    for note, count in Counter(change.note for change in found.findings if change.note).items():
        yield f"{counted(count, 'finding')} cannot be compared: {note}"
    arisen = [change for change in known if change.state in {"new", "worse"}]
    for change in arisen[:_SHOWN]:
        where = "" if change.layer is None else f", layer {change.layer}"
        yield f"{change.state}: {change.rule}{where}" + (
            "" if change.head is None else f", head {change.head}"
        )
    if len(arisen) > _SHOWN:
        yield f"and {len(arisen) - _SHOWN} more that are new or worse"


def _moved(found: Comparison) -> str:
    """How many heads and layers changed, and in which metrics most."""
    counts = {
        metric: [place for difference in by_probe.values() for place in difference.changed]
        for metric, by_probe in found.differences.items()
    }
    most = sorted((name for name in counts if counts[name]), key=lambda name: -len(counts[name]))[:_SHOWN]
    total = (
        f"{found.changed:,} of {counted(found.tested, 'number')} of heads and layers changed beyond chance"
    )
    if not most:
        return total
    each = [
        f"{title_of(found, name)} ({len(counts[name])}, surest {place_of(found.alignment, *counts[name][0])})"
        for name in most
    ]
    return f"{total}, most of them in {listed(each)}"
