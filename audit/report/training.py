"""What the record beside the weights says of the training: losses, gradient norms, learning rate, settings."""

import math
from collections.abc import Iterator

import altair as alt

from audit.report.blocks import Figure, Medium, Row, Table, TrainingBlock
from audit.report.drawing import vector
from audit.report.scales import PLAIN, Spec, base, filled, spec
from audit.report.wording import counted, listed, number, sentence
from audit.results import Audit
from audit.results.training import Course, Excursion, Logged, Training

_SIZE = (420, 90)  # pixels of one chart
_ROWS = 40  # lines a table of numbers shows
_SPIKES = 5
_LINES = {"loss": "training", "eval_loss": "evaluation", "gradient_norm": "", "learning_rate": ""}
_CHARTS = {
    "loss": ("loss", "eval_loss"),
    "gradient norm": ("gradient_norm",),
    "learning rate": ("learning_rate",),
}


_MISSING = (
    "No record stands with the checkpoint: a trainer_state.json in its folder, as Hugging Face's Trainer writes it, would "
    "be read."
)
_AXES = {
    "loss": alt.Axis(tickCount=4, labelExpr=PLAIN),
    "gradient norm": alt.Axis(tickCount=4, labelExpr=PLAIN),
    "learning rate": alt.Axis(tickCount=4, format=".1~e"),
}


def training(audit: Audit, *, medium: Medium) -> TrainingBlock:
    """The whole section."""
    record = audit.training
    if record is None:
        return TrainingBlock(note=_MISSING, facts=(), figure=None, settings=None, remarks=())
    return TrainingBlock(
        note="" if record.course else sentence(record.absent or "nothing was logged"),
        facts=tuple(_facts(record, record.course)) if record.course else (),
        figure=_figure(record, medium=medium) if record.curve else None,
        settings=_settings(record),
        remarks=tuple(sentence(remark) for remark in record.remarks if remark != record.absent),
    )


def _facts(record: Training, went: Course) -> Iterator[Row]:
    yield Row(label="Made", text=_made(record))
    if went.broken_since is not None:
        yield Row(
            label="Broken",
            text=f"No finite loss or no finite gradient norm from step {went.broken_since} on.",
        )
    elif went.not_finite:
        yield Row(
            label="Not finite",
            text=f"{counted(went.not_finite, 'logged value')}, with finite ones after them.",
        )
    if went.absent:
        yield Row(label="Loss", text=sentence(f"not judged: {went.absent}"))
    elif went.first is not None and went.last is not None and went.best is not None:
        yield Row(
            label="Loss",
            text=f"{number(went.first)} in the first tenth of the record, {number(went.last)} in the last, lowest "
            f"{number(went.best)} around step {went.best_step} (medians).",
        )
    if went.oscillation is not None:
        yield Row(
            label="Oscillation",
            text=f"{went.oscillation:.1%} of the loss from line to line, its trend taken out.",
        )
    yield from _evaluated(went)
    if went.excursions:
        yield Row(label="Excursions", text=_excursions(went.excursions))
    if went.peak_rate is not None and went.last_rate is not None:
        yield Row(label="Learning rate", text=_schedule(went, went.peak_rate, went.last_rate))
    if went.clipped is not None:
        yield Row(
            label="Clipping", text=f"{went.clipped:.0%} of the logged gradient norms stood above the bound."
        )


def _made(record: Training) -> str:
    planned = f" of {record.planned:,} planned" if record.planned else ""
    steps = "an unknown number of steps" if record.steps is None else f"{record.steps:,}{planned} steps"
    epochs = "" if record.epochs is None else f", {number(record.epochs)} epochs"
    return f"{steps}{epochs}; {counted(record.lines, 'line')} of record in {listed(record.files)}."


def _evaluated(went: Course) -> Iterator[Row]:
    if went.eval_best is not None and went.eval_last is not None:
        text = f"Loss {number(went.eval_last)} at the end, lowest {number(went.eval_best)} at step {went.eval_best_step}."
        yield Row(label="Evaluation", text=text)


def _excursions(found: tuple[Excursion, ...]) -> str:
    shown = [
        f"{each.series} {number(each.value)} at step {each.step} ({number(each.level)} before, "
        f"{number(each.deviations)} deviations)"
        for each in found[:_SPIKES]
    ]
    rest = f"; {len(found) - _SPIKES} more in audit.json" if len(found) > _SPIKES else ""
    return sentence("; ".join(shown) + rest)


def _schedule(went: Course, peak: float, last: float) -> str:
    start = (
        "highest at once" if went.warmup is None else f"highest after {went.warmup:.0%} of the recorded steps"
    )
    end = "constant" if last == peak else f"{number(last)} at the end"
    return f"At most {number(peak)}, {start}; {end}."


def _settings(record: Training) -> Table | None:
    if not record.settings:
        return None
    return Table(
        head=("setting", "value", "from"),
        rows=tuple(
            (each.name, number(each.value) if isinstance(each.value, float) else each.value, each.file)
            for each in record.settings
        ),
    )


def _figure(record: Training, *, medium: Medium) -> Figure:
    return Figure(
        picture=vector(chart(record.curve), dark=medium == "screen"),
        alt="Loss, gradient norm and learning rate over the steps of the training, where they were logged.",
        captions=(
            Row(label="Training", text="by step, as logged; values that are not finite are left out."),
        ),
        table=_table(record.curve) if medium == "screen" else None,
    )


def chart(curve: tuple[Logged, ...]) -> Spec:
    """Loss, gradient norm and learning rate by step, one above the other; those never logged are left out."""
    drawn, data = [], {}
    for title, fields in _CHARTS.items():
        points = [
            {"step": line.step, "value": getattr(line, field), "of": _LINES[field]}
            for field in fields
            for line in curve
            if getattr(line, field) is not None
        ]
        if points:
            data[title] = points
            drawn.append(_lines(title, several=len({point["of"] for point in points}) > 1))
    return filled(
        spec(
            alt.vconcat(*drawn, spacing=8).resolve_scale(x="shared", stroke="independent", fill="independent")
        ),
        **data,
    )


def _lines(title: str, *, several: bool) -> alt.LayerChart | alt.FacetChart:
    encoded = base(title).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(grid=False, tickCount=6, format=",d")),
        y=alt.Y(
            "value:Q",
            title=title,
            axis=_AXES[title],
        ),
    )
    legend = alt.Legend(title=None, orient="top") if several else None
    line = encoded.mark_line(strokeWidth=1.2, aria=False).encode(
        stroke=alt.Stroke("of:N", sort=None, legend=legend)
    )
    dots = encoded.mark_circle(size=9, opacity=1, aria=False).encode(
        fill=alt.Fill("of:N", sort=None, legend=None)
    )
    return alt.layer(line, dots).properties(width=_SIZE[0], height=_SIZE[1])


def _table(curve: tuple[Logged, ...]) -> Table:
    every = math.ceil(len(curve) / _ROWS)
    return Table(
        head=("step", "loss", "evaluation loss", "gradient norm", "learning rate"),
        rows=tuple(
            (
                f"{line.step:,}",
                *(
                    "–" if value is None else number(value)
                    for value in (line.loss, line.eval_loss, line.gradient_norm, line.learning_rate)
                ),
            )
            for line in curve[::every]
        ),
    )
