"""What changed since the baseline, on the first page: the comparison that stands beside the audit, in a few lines."""

from pathlib import Path

import msgspec

from audit.compare.records import Comparison
from audit.report.blocks import Baseline
from audit.report.comparison import headline, place_of, states, title_of
from audit.report.places import name_of
from audit.report.wording import counted, listed, sentence

BASELINE = "baseline.json"  # the comparison, beside audit.json
_SHOWN = 3  # new or worse findings, and metrics


def baseline(folder: Path) -> Baseline | None:
    """The block of the first page, where the audit in `folder` was held against another."""
    path = folder / BASELINE
    if not path.is_file():
        return None
    found = msgspec.json.decode(path.read_bytes(), type=Comparison)
    return Baseline(headline=headline(found), lines=tuple(map(sentence, _lines(found))))


def _lines(found: Comparison) -> list[str]:
    before = found.before
    lines = [
        (
            f"baseline: {name_of(before.path)}, audit {before.audit_id[:12]} of {before.started[:10]}; its verdict was "
            f"{before.verdict}, now it is {found.after.verdict}"
        ),
        f"findings: {states(found)}",
    ]
    arisen = [change for change in found.findings if change.state in {"new", "worse"}]
    lines += [f"{change.state}: {change.statement}" for change in arisen[:_SHOWN]]
    if len(arisen) > _SHOWN:
        lines.append(f"and {len(arisen) - _SHOWN} more that are new or worse")
    return [*lines, _moved(found), *found.remarks[:1]]


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
