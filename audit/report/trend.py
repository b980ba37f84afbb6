"""A series of audits as a page: when each finding appears, and every metric from audit to audit."""

from datetime import datetime
from typing import Final

from markupsafe import Markup

from audit.compare.alarms import ALIKE, FROZEN, GROWN, TURNING
from audit.compare.records import Course, FindingCourse, Point, Trend, Turn
from audit.report import templating
from audit.report.blocks import Figure, Medium, Row, Table, VerdictBlock
from audit.report.comparison import chance
from audit.report.comparison_page import MetricBlock
from audit.report.drawing import vector
from audit.report.pdf import set_in_child
from audit.report.scales import Scale
from audit.report.trend_charts import Mark, course
from audit.report.trend_page import TrendPage
from audit.report.trend_warnings import drift_figures, drift_note, drift_table, warned, warning_blocks
from audit.report.wording import counted, estimate, number, sentence
from audit.version import ENGINE

_FINDINGS: Final = {"screen": 1_000, "print": 60}
_TURNS: Final = {"screen": 100, "print": 30}
_METRICS: Final = {"screen": 100, "print": 12}
METHOD: Final = (
    (
        "Lines are the mean over all heads and layers, and the lowest and the highest of them; which head that is may differ "
        "from audit to audit. Bands are 95% studentised bootstrap intervals over texts."
    ),
    (
        "A mean turns where it differs from the audit before: paired text by text, Student's t, corrected by Benjamini and "
        "Hochberg over all metrics, probes and steps (q at most 0.05), the interval leaves out zero, and the difference is more than 1% of the metric's standard deviation over heads or layers."
    ),
    "A finding is the same from audit to audit where its rule and its place are.",
    (
        "Entropy collapse is warned of where, in one layer (mean over its heads), the 95% intervals over texts say that scores "
        f"spread more than {TURNING:g} times as far as what freezes random ones, that entropy is below {FROZEN} of the possible "
        f"and that the spread is more than {GROWN} times that of the first audit. Rank collapse where the mean token cosine is "
        f"above {ALIKE} here and in the audit before, with and without sinks, and its distance from 1 has halved. No warning "
        "looks at the loss, and none is given with less than 16 texts."
    ),
)


def html_of(trend: Trend) -> bytes:
    """The page for a browser."""
    return drawn(trend, "screen").encode()


def pdf_of(trend: Trend) -> bytes:
    """The page for paper; dated with the start of the last audit."""
    started = int(datetime.fromisoformat(trend.steps[-1].side.started).timestamp())
    return set_in_child(drawn(trend, "print"), timestamp=started)


def drawn(trend: Trend, medium: Medium) -> str:
    """The page as one HTML document."""
    return templating.filled("trend.html", page_of(trend, medium=medium))


def page_of(trend: Trend, *, medium: Medium) -> TrendPage:
    """Everything the page says."""
    style = templating.style_of(medium)
    first, last = trend.steps[0], trend.steps[-1]
    turns = turns_of(trend)
    shown = trend.findings[: _FINDINGS[medium]]
    order = _order(trend)
    return TrendPage(
        medium=medium,
        title=f"Trend from {first.label} to {last.label}",
        heading=f"{first.label} → {last.label}",
        kicker="Attention audit · trend",
        created=last.side.started,
        description=headline(trend),
        generator=f"attention-audit {ENGINE}",
        style=Markup(style),  # noqa: S704 - our own style sheet
        content_policy=templating.content_policy(style),
        verdict=VerdictBlock(
            kind="watch" if trend.warnings and last.side.verdict == "pass" else last.side.verdict,
            word="warning" if trend.warnings else f"{last.side.verdict} at {last.label}",
            headline=headline(trend),
            meaning=f"{counted(len(trend.steps), 'audit')}, on {', '.join(trend.probes) or 'no text'}. "
            f"{counted(len(turns), 'mean')} turned from one audit to the next.",
        ),
        warnings=warning_blocks(trend),
        steps=_steps(trend),
        drift=drift_table(trend, medium),
        drift_figures=drift_figures(trend, medium),
        drift_note=drift_note(trend),
        remarks=tuple(sentence(remark) for remark in trend.remarks),
        findings=_findings(trend, shown) if shown else None,
        findings_note=_more(len(trend.findings) - len(shown), "finding"),
        turns=_turns(trend, turns[: _TURNS[medium]]) if turns else None,
        turns_note=_more(len(turns) - _TURNS[medium], "turn"),
        metrics=tuple(_block(trend, metric, medium=medium) for metric in order[: _METRICS[medium]]),
        metrics_note=_more(len(order) - _METRICS[medium], "metric"),
        method=METHOD,
    )


def headline(trend: Trend) -> str:
    """What became of the series, in one sentence."""
    late = [finding for finding in trend.findings if finding.first > 0]
    verdicts = [step.side.verdict for step in trend.steps]
    course_of = (
        f"{verdicts[0]} all along" if len(set(verdicts)) == 1 else f"from {verdicts[0]} to {verdicts[-1]}"
    )
    if not late:
        return f"{warned(trend)}No finding appeared after the first audit; {course_of}."
    return f"{warned(trend)}{counted(len(late), 'finding')} appeared on the way, the first at {trend.steps[late[0].first].label}; {course_of}."


def turns_of(trend: Trend) -> list[tuple[str, str, Course, Turn]]:
    """Every turn of a mean, in order of the steps, the surest first within each."""
    found = [
        (metric, probe, each, turn)
        for metric, by_probe in trend.courses.items()
        for probe, each in by_probe.items()
        for turn in each.turns
        if turn.changed
    ]
    return sorted(found, key=lambda each: (each[3].step, each[3].q, each[:2]))


def title_of(trend: Trend, metric: str) -> str:
    """The metric's title, or its name where no audit records one."""
    return trend.methods[metric].title if metric in trend.methods else metric


def place_of(finding: FindingCourse) -> str:
    """Where it stands, in words."""
    if finding.layer is None:
        return "whole model"
    return f"layer {finding.layer}" + ("" if finding.head is None else f", head {finding.head}")


def seen_at(trend: Trend, finding: FindingCourse) -> str:
    """`all along`, or the labels at which it is there."""
    here = [step.label for step, severity in zip(trend.steps, finding.severities, strict=True) if severity]
    return "all along" if len(here) == len(trend.steps) else ", ".join(here)


def _steps(trend: Trend) -> Table:
    counts = [
        sum(finding.severities[index] is not None for finding in trend.findings)
        for index in range(len(trend.steps))
    ]
    fresh = [sum(finding.first == index for finding in trend.findings) for index in range(len(trend.steps))]
    return Table(
        head=("Checkpoint", "Verdict", "Findings", "First seen here", "Audit", "Started"),
        rows=tuple(
            (
                step.label,
                step.side.verdict,
                str(count),
                str(new) if index else "–",
                step.side.audit_id,
                step.side.started[:16].replace("T", " ") + " UTC",
            )
            for index, (step, count, new) in enumerate(zip(trend.steps, counts, fresh, strict=True))
        ),
    )


def _findings(trend: Trend, shown: tuple[FindingCourse, ...]) -> Table:
    rows = sorted(shown, key=lambda each: (each.first, each.rule, each.layer or 0, each.head or 0))
    return Table(
        head=("First seen at", "Place", "Rule", "There at", "Last severity", "Finding"),
        rows=tuple(
            (
                trend.steps[each.first].label,
                place_of(each),
                each.rule,
                seen_at(trend, each),
                next(severity for severity in reversed(each.severities) if severity),
                each.statement,
            )
            for each in rows
        ),
    )


def _turns(trend: Trend, turns: list[tuple[str, str, Course, Turn]]) -> Table:
    return Table(
        head=("At", "Metric (mean)", "Probe", "From", "To", "Difference", "q"),
        rows=tuple(
            (
                trend.steps[turn.step].label,
                title_of(trend, metric),
                probe,
                number(each.mean[turn.step - 1].value or 0.0),
                number(each.mean[turn.step].value or 0.0),
                estimate(turn.difference, turn.low, turn.high),
                chance(turn.q),
            )
            for metric, probe, each, turn in turns
        ),
    )


def _order(trend: Trend) -> list[str]:
    """Metrics that turned most surely first, then by title."""

    def key(metric: str) -> tuple[float, str]:
        surest = [turn.q for each in trend.courses[metric].values() for turn in each.turns if turn.changed]
        return min(surest, default=1.0), title_of(trend, metric).casefold()

    return sorted(trend.courses, key=key)


def _block(trend: Trend, metric: str, *, medium: Medium) -> MetricBlock:
    probes = list(trend.courses[metric].items())
    shown = probes[:1] if medium == "print" else probes
    figures = tuple(_figure(trend, metric, probe, each, medium=medium) for probe, each in shown)
    method = trend.methods.get(metric)
    return MetricBlock(
        title=title_of(trend, metric),
        name=metric,
        summary=sentence(method.summary) if method else "",
        figures=figures,
        shape="several" if len(figures) > 1 else "single",
    )


def _figure(trend: Trend, metric: str, probe: str, each: Course, *, medium: Medium) -> Figure:
    lines = {"mean": each.mean}
    if each.lowest != each.mean:  # one number for the whole model has no extremes
        lines |= {"lowest": each.lowest, "highest": each.highest}
    marks = [
        Mark(name, step, point.value, point.low, point.high)
        for name, points in lines.items()
        for step, point in enumerate(points)
        if point.value is not None
    ]
    labels = [step.label for step in trend.steps]
    unit = trend.methods[metric].unit if metric in trend.methods else ""
    chart = course(marks, labels=labels, title=Scale(unit, 0.0, 1.0).title)
    said = f"mean {_words(each.mean[0])} at {labels[0]}, {_words(each.mean[-1])} at {labels[-1]}"
    if each.absent:
        said += f"; {each.absent}"
    return Figure(
        picture=vector(chart, dark=medium == "screen"),
        alt=f"{title_of(trend, metric)} on {probe} over the series: {said}.",
        captions=(Row(label=probe, text=said),),
        table=_numbers(labels, lines) if medium == "screen" else None,
    )


def _numbers(labels: list[str], lines: dict[str, tuple[Point, ...]]) -> Table:
    return Table(
        head=("Checkpoint", *lines),
        rows=tuple(
            (label, *(_words(points[index]) for points in lines.values()))
            for index, label in enumerate(labels)
        ),
    )


def _words(point: Point) -> str:
    if point.value is None:
        return "none"
    where = (
        ""
        if point.layer is None
        else f" (layer {point.layer}" + (")" if point.head is None else f", head {point.head})")
    )
    return estimate(point.value, point.low, point.high) + where


def _more(count: int, noun: str) -> str:
    return f"{counted(count, f'more {noun}')} in the JSON of this trend." if count > 0 else ""
