"""A comparison as a page: what came and went, which heads and layers changed, and how that was decided."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from markupsafe import Markup

from audit.compare.records import Alignment, Comparison, Difference, FindingChange
from audit.report import templating
from audit.report.blocks import Medium, Row, Table, VerdictBlock
from audit.report.comparison_figures import metric_blocks
from audit.report.comparison_page import ChangeLine, ComparisonPage
from audit.report.pdf import set_in_child
from audit.report.places import name_of
from audit.report.wording import counted, estimate, number, ranges, sentence
from audit.version import ENGINE

_FINDINGS: Final = {"screen": 1_000, "print": 60}
_LARGEST: Final = {"screen": 60, "print": 25}
_KINDS: Final = {
    "new": "flagged",
    "worse": "flagged",
    "milder": "passed",
    "gone": "passed",
    "unchanged": "not_applicable",
}
_LEAST: Final = 1e-12  # below it the rounding of the t distribution shows
METHOD: Final = (
    (
        "Every number is a difference after minus before, from the same texts in both: paired text by text, mean and 95% "
        "interval by the studentised bootstrap over texts (documents, where each was fed once)."
    ),
    (
        "A head or layer counts as changed when q is at most 0.05 and the interval leaves out zero. q is the two-sided p of "
        "Student's t on the paired differences, corrected by Benjamini and Hochberg over all cells, metrics and probes of "
        "this comparison: of the changes listed, about one in twenty may be none."
    ),
    (
        "Differences too small to matter count as none, however certain: within 0.0001 of the value or 0.000001 (so much "
        "an audit may differ from itself), or within 1% of the metric's standard deviation over heads or layers (so much "
        "comes of storing weights in another precision)."
    ),
    "What is read from the weights, or from a whole corpus at once, has an exact difference and no test.",
    (
        "A regression is a finding of severity fail that is new or was milder, or a verdict that is worse (pass, watch, "
        "inconclusive, fail)."
    ),
)


def html_of(comparison: Comparison) -> bytes:
    """The page for a browser."""
    return drawn(comparison, "screen").encode()


def pdf_of(comparison: Comparison) -> bytes:
    """The page for paper; dated with the start of the later audit."""
    started = int(datetime.fromisoformat(comparison.after.started).timestamp())
    return set_in_child(drawn(comparison, "print"), timestamp=started)


def drawn(comparison: Comparison, medium: Medium) -> str:
    """The page as one HTML document."""
    return templating.filled("comparison.html", page_of(comparison, medium=medium))


def page_of(comparison: Comparison, *, medium: Medium) -> ComparisonPage:
    """Everything the page says."""
    style = templating.style_of(medium)
    names = [name_of(side.path) for side in (comparison.before, comparison.after)]
    blocks = metric_blocks(comparison, medium=medium)
    largest = list(islice(_largest(comparison), _LARGEST[medium]))
    return ComparisonPage(
        medium=medium,
        title=f"Comparison of {names[0]} and {names[1]}",
        heading=names[0] if names[0] == names[1] else f"{names[0]} → {names[1]}",
        kicker="Attention audit · comparison",
        created=comparison.after.started,
        description=headline(comparison),
        generator=f"attention-audit {ENGINE}",
        style=Markup(style),  # noqa: S704 - our own style sheet
        content_policy=templating.content_policy(style),
        verdict=VerdictBlock(
            kind="fail" if comparison.regressions else "pass",
            word="regression" if comparison.regressions else "no regression",
            headline=headline(comparison),
            meaning=_meaning(comparison),
        ),
        regressions=tuple(sentence(line) for line in comparison.regressions),
        sides=_sides(comparison),
        facts=_facts(comparison),
        remarks=tuple(sentence(remark) for remark in comparison.remarks),
        findings=tuple(
            _line(each, comparison.alignment) for each in comparison.findings[: _FINDINGS[medium]]
        ),
        findings_note=_more(len(comparison.findings) - _FINDINGS[medium], "finding"),
        overview=_overview(comparison),
        largest=Table(
            head=("Place", "Metric", "Probe", "Before", "After", "Difference", "q"), rows=tuple(largest)
        )
        if largest
        else None,
        largest_note=_more(comparison.changed - len(largest), "change"),
        metrics=blocks,
        metrics_note="" if blocks else "No metric changed anywhere: there is nothing to draw.",
        method=METHOD,
    )


def headline(comparison: Comparison) -> str:
    """The answer in one sentence."""
    if comparison.regressions:
        return "The second audit is worse than the first by its policy."
    if not comparison.changed and all(each.state == "unchanged" for each in comparison.findings):
        return "Nothing changed beyond chance."
    return "Not worse by its policy, and not the same."


def states(comparison: Comparison) -> str:
    """`2 new, 1 gone, 5 unchanged`."""
    return states_of(comparison.findings)


def states_of(findings: Sequence[FindingChange]) -> str:
    """The same of some findings."""
    found = [each.state for each in findings]
    return ", ".join(f"{found.count(state)} {state}" for state in dict.fromkeys(found)) or "none in either"


def place_of(alignment: Alignment, pair: int, head: int | None) -> str:
    """`layer 4 → 3, head 7`, or without the arrow where the number stayed."""
    before, after = alignment.pairs[pair]
    layer = f"layer {before}" if before == after else f"layer {before} → {after}"
    return layer if head is None else f"{layer}, head {head}"


def aligned_in_words(alignment: Alignment) -> str:
    """What was held against what, and what has no counterpart."""
    moved = [pair for pair in alignment.pairs if pair[0] != pair[1]]
    words = f"{counted(len(alignment.pairs), 'layer')} {alignment.how}"
    if moved:
        words += f" ({', '.join(f'{one} → {other}' for one, other in moved)}; others keep their number)"
    for name, left in (("first", alignment.gone), ("second", alignment.new)):
        if left:
            words += f"; without a counterpart in the {name}: {'layer' if len(left) == 1 else 'layers'} {ranges(left)}"
    return words


def changes_of(difference: Difference) -> Iterator[tuple[int, int | None, str, str, str, str]]:
    """Each changed cell, the surest first: pair, head, before, after, difference with interval, q."""
    for pair, head in difference.changed:
        before, after, change, low, high, q = (
            cell(values, pair, head)
            for values in (
                difference.before,
                difference.after,
                difference.difference,
                difference.low,
                difference.high,
                difference.q,
            )
        )
        if before is not None and after is not None and change is not None and q is not None:
            yield pair, head, number(before), number(after), estimate(change, low, high), chance(q)


def chance(q: float) -> str:
    """A corrected p value; the smallest ones are not known better than that they are."""
    return number(q, 2) if q >= _LEAST else "< 10⁻¹²"


def cell(values: object, pair: int, head: int | None) -> float | None:
    """One number of nested values; None where it is absent."""
    row = values[pair] if isinstance(values, list) and pair < len(values) else None
    found = row[head] if isinstance(row, list) and head is not None and head < len(row) else row
    return float(found) if isinstance(found, int | float) else None


def title_of(comparison: Comparison, metric: str) -> str:
    """The metric's title, or its name where no audit records one."""
    return comparison.methods[metric].title if metric in comparison.methods else metric


def _largest(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """The changes of all metrics, the surest of each in turn: one metric alone must not fill the page."""
    waiting = [
        (title_of(comparison, metric), probe, changes_of(difference))
        for metric, by_probe in comparison.differences.items()
        for probe, difference in by_probe.items()
    ]
    while waiting:
        left = []
        for title, probe, changes in waiting:
            found = next(changes, None)
            if found:
                pair, head, *numbers = found
                yield (place_of(comparison.alignment, pair, head), title, probe, *numbers)
                left.append((title, probe, changes))
        waiting = left


def _meaning(comparison: Comparison) -> str:
    return (
        f"Verdict {comparison.before.verdict} before, {comparison.after.verdict} after. Findings: {states(comparison)}. "
        f"{comparison.changed:,} of {comparison.tested:,} tested heads and layers, over all metrics, changed."
    )


def _sides(comparison: Comparison) -> Table:
    sides = (comparison.before, comparison.after)
    rows = (
        ("Checkpoint", *(side.path for side in sides)),
        ("Verdict", *(side.verdict for side in sides)),
        ("Policy", *(side.policy for side in sides)),
        ("Architecture", *(side.architecture for side in sides)),
        ("Parameters", *(f"{side.parameters:,}" for side in sides)),
        ("Attention layers", *(str(side.layers) for side in sides)),
        ("Audit", *(side.audit_id for side in sides)),
        ("Started", *(side.started[:16].replace("T", " ") + " UTC" for side in sides)),
    )
    return Table(head=("Of the audit", "Before", "After"), rows=rows)


def _facts(comparison: Comparison) -> tuple[Row, ...]:
    return (
        Row(label="Layers", text=sentence(aligned_in_words(comparison.alignment))),
        Row(label="Probes", text=", ".join(comparison.probes)),
        Row(label="Findings", text=states(comparison)),
        Row(label="Changed", text=f"{comparison.changed:,} of {comparison.tested:,} cells"),
    )


def _line(change: FindingChange, alignment: Alignment) -> ChangeLine:
    place = "whole model" if change.layer is None else f"layer {change.layer}"
    moved = [one for one, other in alignment.pairs if other == change.layer and one != other]
    if moved and change.state != "gone":
        place += f" (before: {moved[0]})"
    severity: str = change.after or change.before or ""
    if change.before and change.after and change.before != change.after:
        severity = f"{change.before} → {change.after}"
    return ChangeLine(
        state=change.state,
        kind=_KINDS[change.state],
        place=place if change.head is None else f"{place}, head {change.head}",
        severity=severity,
        statement=change.statement,
        note=sentence(change.note) if change.note else "",
    )


def _overview(comparison: Comparison) -> Table:
    rows = [
        (
            title_of(comparison, metric),
            "; ".join(f"{_counts(difference)} on {probe}" for probe, difference in by_probe.items()),
            _span([value for difference in by_probe.values() for value in _numbers(difference.difference)]),
        )
        for metric, by_probe in comparison.differences.items()
    ]
    return Table(
        head=("Metric", "Heads or layers that changed", "Differences from … to"),
        rows=tuple(sorted(rows, key=lambda row: row[0].casefold())),
    )


def _counts(difference: Difference) -> str:
    if difference.q is None:
        return f"{difference.cells:,} not tested"
    return f"{len(difference.changed):,} of {difference.cells:,}"


def _span(found: Sequence[float]) -> str:
    return f"{number(min(found))} … {number(max(found))}" if found else "none"


def _numbers(values: object) -> Iterator[float]:
    if isinstance(values, list):
        for each in values:
            yield from _numbers(each)
    elif isinstance(values, int | float):
        yield float(values)


def _more(count: int, noun: str) -> str:
    return f"{counted(count, f'more {noun}')} in the JSON of this comparison." if count > 0 else ""
