"""Pictures of a comparison: differences by layer and head, and layers before and after over depth."""

from collections.abc import Iterator
from typing import Final

from audit.compare.records import Comparison, Difference
from audit.report import charts
from audit.report.blocks import Figure, Medium, Row
from audit.report.cells import Cell
from audit.report.comparison_page import MetricBlock
from audit.report.drawing import vector
from audit.report.scales import Scale
from audit.report.wording import counted, estimate, number, sentence

_METRICS: Final = {"screen": 100, "print": 12}


def metric_blocks(comparison: Comparison, *, medium: Medium) -> tuple[MetricBlock, ...]:
    """A block for each metric that changed somewhere, most cells first; print shows the first of them and one probe."""
    changed = [
        (sum(len(each.changed) / max(each.cells, 1) for each in by_probe.values()), metric)
        for metric, by_probe in comparison.differences.items()
    ]
    order = [metric for share, metric in sorted(changed, key=lambda each: (-each[0], each[1])) if share > 0]
    return tuple(_block(comparison, metric, medium=medium) for metric in order[: _METRICS[medium]])


def _block(comparison: Comparison, metric: str, *, medium: Medium) -> MetricBlock:
    method = comparison.methods.get(metric)
    probes = [(p, d) for p, d in comparison.differences[metric].items() if d.q is not None]
    shown = probes[:1] if medium == "print" else probes
    figures = tuple(
        _figure(comparison, metric, probe, difference, medium=medium) for probe, difference in shown
    )
    return MetricBlock(
        title=method.title if method else metric,
        name=metric,
        summary=sentence(method.summary) if method else "",
        figures=figures,
        shape="several" if len(figures) > 1 else "single",
    )


def _figure(
    comparison: Comparison, metric: str, probe: str, difference: Difference, *, medium: Medium
) -> Figure:
    cells = list(_cells(difference))
    unit = comparison.methods[metric].unit if metric in comparison.methods else ""
    said = _said(cells, difference)
    if any(cell.head is not None for cell in cells):
        top = max((abs(cell.value) for cell in cells if cell.value is not None), default=0.0) or 1.0
        picture = charts.grid(
            [cell._replace(layer=_after(comparison, cell)) for cell in cells],
            layers=1 + max(after for _, after in comparison.alignment.pairs),
            heads=1 + max(cell.head or 0 for cell in cells),
            scale=Scale(unit, -top, top, diverging=True),
            marked=[
                (comparison.alignment.pairs[pair][1], head)
                for pair, head in difference.changed
                if head is not None
            ],
        )
    else:
        points = [
            charts.Point("after − before", _after(comparison, c), c.value, c.low, c.high) for c in cells
        ]
        picture = vector(charts.profile(points, scale=Scale(unit, 0.0, 0.0)), dark=medium == "screen")
    return Figure(
        picture=picture,
        alt=f"Difference of {metric} on {probe}: {said}.",
        captions=(Row(label=probe, text=f"{said}; layers as the second audit numbers them"),),
        table=None,
    )


def _after(comparison: Comparison, cell: Cell) -> int:
    return comparison.alignment.pairs[cell.layer or 0][1]


def _said(cells: list[Cell], difference: Difference) -> str:
    known = [cell for cell in cells if cell.value is not None]
    largest = max(known, key=lambda cell: abs(cell.value or 0.0))
    noun = "head" if largest.head is not None else "layer"
    return (
        f"{len(difference.changed)} of {counted(difference.cells, noun)} changed; "
        f"largest {estimate(largest.value or 0.0, largest.low, largest.high)}, n = {number(difference.n)}"
    )


def _cells(difference: Difference) -> Iterator[Cell]:
    """Flat; `layer` is the number of the pair."""
    for pair, row in enumerate(difference.difference if isinstance(difference.difference, list) else []):
        lows, highs = (
            values[pair] if isinstance(values, list) else None for values in (difference.low, difference.high)
        )
        if isinstance(row, list):
            for head, value in enumerate(row):
                yield Cell(
                    pair,
                    head,
                    value,
                    lows[head] if isinstance(lows, list) else None,
                    highs[head] if isinstance(highs, list) else None,
                )
        else:
            yield Cell(
                pair,
                None,
                row,
                lows if isinstance(lows, float) else None,
                highs if isinstance(highs, float) else None,
            )
