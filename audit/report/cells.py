"""One flat view of a measurement, whatever its shape: a number, [layer] or [layer][head]."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from audit.results import Measurement


class Cell(NamedTuple):
    """One value with its 95% interval and the place it belongs to."""

    layer: int | None
    head: int | None
    value: float | None
    low: float | None
    high: float | None


def cells_of(measurement: Measurement) -> tuple[Cell, ...]:
    """Every cell of `measurement` in order of layer and head, absent ones included."""
    value, low, high = measurement.value, measurement.low, measurement.high
    if not isinstance(value, list | tuple):
        return (Cell(None, None, value, _number(low), _number(high)),)
    found: list[Cell] = []
    for layer, row in enumerate(value):
        lows, highs = _item(low, layer), _item(high, layer)
        if isinstance(row, list | tuple):
            found.extend(
                Cell(layer, head, entry, _number(_item(lows, head)), _number(_item(highs, head)))
                for head, entry in enumerate(row)
            )
        else:
            found.append(Cell(layer, None, row, _number(lows), _number(highs)))
    return tuple(found)


def why_absent(measurement: Measurement) -> str:
    """The recorded reason for a missing value or interval."""
    return (
        (measurement.absent or "no reason was recorded")
        .removeprefix("no interval: ")
        .removesuffix(": no interval")
    )


def axes_of(measurements: Iterable[Measurement], declared: str | None) -> Literal["head", "layer", "model"]:
    """What the values are indexed by, seen from their shape; `declared` decides where nothing was measured."""
    for measurement in measurements:
        cells = cells_of(measurement)
        if any(cell.head is not None for cell in cells):
            return "head"
        if any(cell.layer is not None for cell in cells):
            return "layer"
    return "head" if declared == "head" else "layer" if declared == "layer" else "model"


def _item(values: Any, index: int) -> Any:
    if isinstance(values, list | tuple) and index < len(values):
        return values[index]
    return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
