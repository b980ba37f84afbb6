"""Every head and every layer: grids of the head metrics, profiles over depth of the layer metrics."""

from collections.abc import Container, Mapping, Sequence
from itertools import chain

from audit.report import charts, facts
from audit.report.blocks import Figure, Medium, MetricSection, Row
from audit.report.cells import Cell, axes_of, cells_of, why_absent
from audit.report.drawing import vector
from audit.report.places import group_of, groups
from audit.report.scales import Scale
from audit.report.wording import anchor, estimate, sentence
from audit.results import Audit, Measurement, MethodRecord

_WIDE = 100.0  # ratio of largest to smallest value from which an unbounded scale is logarithmic


def head_sections(
    audit: Audit, *, medium: Medium, defined: Container[str] | None = None
) -> tuple[MetricSection, ...]:
    """A section with a grid per probe for each head metric; print shows the first probe.

    Titles of metrics that the page has `defined` lead to their definition.
    """
    return tuple(
        _section(audit, name, _grids(audit, name, medium=medium), defined=defined is None or name in defined)
        for name in names(audit, "head")
    )


def depth_sections(
    audit: Audit, *, medium: Medium, defined: Container[str] | None = None
) -> tuple[MetricSection, ...]:
    """A section with one profile, a line per probe, for each layer metric."""
    return tuple(
        _section(
            audit, name, _profiles(audit, name, medium=medium), defined=defined is None or name in defined
        )
        for name in names(audit, "layer")
    )


def totals(audit: Audit, *, defined: Container[str] | None = None) -> tuple[Row, ...]:
    """Metrics that are one number for the whole model."""
    return tuple(
        Row(
            label=f"{title_of(audit, name)}, {probe}",
            text=_total(measurement),
            target=_method_target(audit, name) if defined is None or name in defined else "",
        )
        for name in names(audit, "model")
        for probe, measurement in audit.measurements[name].items()
    )


def title_of(audit: Audit, name: str) -> str:
    """The metric's title, or that of a demographic quantity, or the name where the audit does not record it."""
    if name in audit.methods:
        return audit.methods[name].title
    return next((skew.quantities[name] for skew in audit.skew if name in skew.quantities), name)


def target_of(audit: Audit, name: str) -> str:
    """Where the page shows the metric: its section, else its definition, else nowhere."""
    drawn = name in audit.measurements and _axes(audit, name) != "model"
    return anchor(name) if drawn else _method_target(audit, name)


def _method_target(audit: Audit, name: str) -> str:
    return anchor("method", name) if name in audit.methods else ""


def names(audit: Audit, axes: str) -> list[str]:
    """By title, as a reader looks them up: what belongs together is called alike."""
    mine = [name for name in audit.measurements if _axes(audit, name) == axes]
    return sorted(mine, key=lambda name: (title_of(audit, name).casefold(), name))


def _axes(audit: Audit, name: str) -> str:
    method = audit.methods.get(name)
    return axes_of(audit.measurements[name].values(), method.axes if method else None)


def _section(audit: Audit, name: str, figures: Sequence[Figure], *, defined: bool) -> MetricSection:
    method = audit.methods.get(name)
    return MetricSection(
        name=name,
        anchor=anchor(name),
        target=_method_target(audit, name) if defined else "",
        title=title_of(audit, name),
        unit=_unit(method),
        summary=sentence(method.summary) if method else "",
        direction=sentence(method.direction) if method else "",
        figures=tuple(figures),
        absences=tuple(_absences(audit.measurements[name])),
        shape="several" if len(figures) > 1 else "single",
    )


def _absences(probes: Mapping[str, Measurement]) -> list[str]:
    return [
        sentence(f"not measured on {probe}: {why_absent(measurement)}")
        for probe, measurement in probes.items()
        if not _known(measurement)
    ]


def _grids(audit: Audit, name: str, *, medium: Medium) -> list[Figure]:
    probes = {probe: m for probe, m in audit.measurements[name].items() if _known(m)}
    scale = _scale(audit.methods.get(name), chain.from_iterable(map(_known, probes.values())))
    shown = list(probes.items())[:1] if medium == "print" else list(probes.items())
    return [_grid(audit, name, probe, measurement, scale, medium=medium) for probe, measurement in shown]


def _grid(
    audit: Audit, name: str, probe: str, measurement: Measurement, scale: Scale, *, medium: Medium
) -> Figure:
    cells = [cell for cell in cells_of(measurement) if cell.head is not None]
    marked = {(f.layer, f.head) for f in audit.findings if f.layer is not None and f.head is not None}
    picture = charts.grid(
        cells,
        layers=max(len(audit.coverage.layers), 1 + max(cell.layer or 0 for cell in cells)),
        heads=1 + max(cell.head or 0 for cell in cells),
        scale=scale,
        marked=sorted(marked),
        small=medium == "print",
    )
    return Figure(
        picture=picture,
        alt=f"{title_of(audit, name)} by layer and head on {probe}: {facts.extremes(cells)}.",
        captions=(Row(label=probe, text=_caption(audit, cells, measurement, medium=medium)),),
        table=facts.by_layer(cells) if medium == "screen" else None,
    )


def _profiles(audit: Audit, name: str, *, medium: Medium) -> list[Figure]:
    probes = {probe: cells_of(m) for probe, m in audit.measurements[name].items() if _known(m)}
    if not probes:
        return []
    scale = _scale(audit.methods.get(name), chain.from_iterable(probes.values()))
    points = [point for probe, cells in probes.items() for point in _points(audit, probe, cells)]
    words = {probe: facts.extremes(cells) for probe, cells in probes.items()}
    return [
        Figure(
            picture=vector(charts.profile(points, scale=scale), dark=medium == "screen"),
            alt=f"{title_of(audit, name)} over depth: {'; '.join(f'on {probe} {said}' for probe, said in words.items())}.",
            captions=tuple(
                Row(label=probe, text=_caption(audit, cells, audit.measurements[name][probe], medium=medium))
                for probe, cells in probes.items()
            ),
            table=facts.by_depth(probes) if medium == "screen" else None,
        )
    ]


def _caption(audit: Audit, cells: Sequence[Cell], measurement: Measurement, *, medium: Medium) -> str:
    if medium == "print":
        return facts.brief(cells)
    unobserved = {layer.index for layer in audit.coverage.layers if not layer.observed}
    return facts.caption(cells, measurement, unobserved=unobserved)


def _points(audit: Audit, probe: str, cells: Sequence[Cell]) -> list[charts.Point]:
    layers, several = audit.coverage.layers, len(groups(audit.coverage)) > 1
    return [
        charts.Point(
            f"{probe}, {group_of(layers[cell.layer])}" if several and cell.layer < len(layers) else probe,
            cell.layer,
            cell.value,
            cell.low,
            cell.high,
        )
        for cell in cells
        if cell.layer is not None
    ]


def _scale(method: MethodRecord | None, cells: "chain[Cell]") -> Scale:
    """The metric's own span, so that a colour means the same in every report; open ends are the data's."""
    values = [cell.value for cell in cells if cell.value is not None] or [0.0]
    low, high = method.span if method else (min(values), None)
    low, top = min(values) if low is None else low, max(values) if high is None else high
    log = high is None and min(values) > 0 and max(values) / min(values) > _WIDE
    return Scale(method.unit if method else "", min(values) if log else low, top, log)


def _known(measurement: Measurement) -> tuple[Cell, ...]:
    return tuple(cell for cell in cells_of(measurement) if cell.value is not None)


def _unit(method: MethodRecord | None) -> str:
    return "" if method is None else "no unit" if method.unit == "1" else method.unit


def _total(measurement: Measurement) -> str:
    cell = cells_of(measurement)[0]
    if cell.value is None:
        return f"not measured: {why_absent(measurement)}"
    bound = "at least " if measurement.bound == "at_least" else ""
    without = "" if cell.low is not None else f" (no interval: {why_absent(measurement)})"
    return bound + estimate(cell.value, cell.low, cell.high) + without
