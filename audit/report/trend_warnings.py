"""What a series warns of, and what drifts in it, for its page and the terminal."""

from collections.abc import Iterator
from typing import Final

from audit.compare.records import Drift, Point, Step, Trend
from audit.report.blocks import Figure, Medium, Row, Table
from audit.report.drawing import vector
from audit.report.scales import Scale
from audit.report.trend_charts import Mark, course
from audit.report.trend_page import WarningBlock
from audit.report.wording import counted, estimate, listed, number, sentence

_ROWS: Final = {"screen": 1_000, "print": 40}
_NOTE: Final = "Of the layer (mean over its heads) where it is furthest, with 95% intervals over texts; which layer that is may change."


def warned(trend: Trend) -> str:
    """What is warned of and from where on, as the beginning of a headline; empty where nothing is."""
    parts = [f"{alarm.kind} from {trend.steps[alarm.step].label} on" for alarm in trend.warnings]
    return f"Warns of {listed(parts)}. " if parts else ""


def warning_blocks(trend: Trend) -> tuple[WarningBlock, ...]:
    """Every warning, ready to print."""
    return tuple(
        WarningBlock(
            title=f"{alarm.kind} from {trend.steps[alarm.step].label} on".capitalize(),
            statement=alarm.statement,
            why=alarm.why,
            seen=f"There at {counted(len(alarm.steps), 'checkpoint')} of {len(trend.steps)}.",
            source="; ".join(alarm.references),
        )
        for alarm in trend.warnings
    )


def drift_table(trend: Trend, medium: Medium = "screen") -> Table | None:
    """A row for each checkpoint; None where nothing of it was measured."""
    if not trend.drifts and not trend.moved:
        return None
    columns = list(_columns(trend))
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    return Table(head=tuple(head for head, _ in columns), rows=_thinned(rows, _ROWS[medium]))


def drift_note(trend: Trend) -> str:
    """What the table's numbers are."""
    moved = (
        "Weights moved: distance of all weights from the first checkpoint's, as a share of their norm there."
        if trend.moved
        else "The weights themselves were not read: attnaudit series does."
    )
    return f"{_NOTE} {moved}"


def drift_figures(trend: Trend, medium: Medium) -> tuple[Figure, ...]:
    """A chart for each quantity."""
    return tuple(_figure(trend, drift, medium) for drift in trend.drifts)


def _columns(trend: Trend) -> Iterator[tuple[str, list[str]]]:
    yield "Checkpoint", [step.label for step in trend.steps]
    if any(step.loss for step in trend.steps):
        yield "Recorded loss", [_loss(step) for step in trend.steps]
    for drift in trend.drifts:
        yield f"{_title(trend, drift)}, {drift.end} layer", [_words(point) for point in drift.points]
    if trend.moved:
        yield "Weights moved", ["not finite" if share is None else number(share) for share in trend.moved]


def _thinned(rows: tuple[tuple[str, ...], ...], most: int) -> tuple[tuple[str, ...], ...]:
    """At most `most` rows, evenly picked, the last among them."""
    every = -(-len(rows) // most)
    return rows[::-1][::every][::-1]


def _loss(step: Step) -> str:
    if step.loss is None:
        return "none"
    return "not finite" if step.loss.last is None else number(step.loss.last)


def _words(point: Point) -> str:
    return "none" if point.value is None else estimate(point.value, point.low, point.high)


def _title(trend: Trend, drift: Drift) -> str:
    return trend.methods[drift.metric].title if drift.metric in trend.methods else drift.metric


def _figure(trend: Trend, drift: Drift, medium: Medium) -> Figure:
    title, labels = _title(trend, drift), [step.label for step in trend.steps]
    marks = [
        Mark(f"{drift.end} layer", step, point.value, point.low, point.high)
        for step, point in enumerate(drift.points)
        if point.value is not None
    ]
    unit = trend.methods[drift.metric].unit if drift.metric in trend.methods else ""
    said = f"{_words(drift.points[0])} at {labels[0]}, {_words(drift.points[-1])} at {labels[-1]}"
    return Figure(
        picture=vector(
            course(marks, labels=labels, title=Scale(unit, 0.0, 1.0).title), dark=medium == "screen"
        ),
        alt=f"{title} of the {drift.end} layer over the series: {said}.",
        captions=(Row(label=title, text=sentence(said)),),
        table=None,
    )
