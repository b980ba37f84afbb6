"""What a picture shows, in words and in a table: the alternative for whoever does not see it."""

from collections.abc import Container, Mapping, Sequence
from statistics import fmean, median

from audit.report.blocks import Table
from audit.report.cells import Cell, why_absent
from audit.report.wording import counted, estimate, number, sentence
from audit.results import Measurement


def extremes(cells: Sequence[Cell]) -> str:
    """Lowest and highest value with their places, and the median: one sentence without its full stop."""
    known = [cell for cell in cells if cell.value is not None]
    low, high = min(known, key=_value), max(known, key=_value)
    if _value(low) == _value(high):
        whole = (
            f"the only {_noun(known)}" if len(known) == 1 else f"each of {counted(len(known), _noun(known))}"
        )
        return f"{number(_value(low))} in {whole}"
    return (
        f"lowest {number(_value(low))} ({_where(low)}), highest {number(_value(high))} ({_where(high)}), "
        f"median {number(median(map(_value, known)))}"
    )


def brief(cells: Sequence[Cell]) -> str:
    """The median, the typical half-width of its interval, and the range: all that a small picture has room for."""
    known = [cell for cell in cells if cell.value is not None]
    widths = [(c.high - c.low) / 2 for c in known if c.low is not None and c.high is not None]
    sure = f" ±{number(median(widths), 2)}" if widths else ""
    values = [_value(cell) for cell in known]
    return f"median {number(median(values))}{sure}, {number(min(values))} to {number(max(values))}"


def caption(cells: Sequence[Cell], measurement: Measurement, *, unobserved: Container[int]) -> str:
    """The extremes, how sure they are, and what is missing beside the `unobserved` layers, with its reason."""
    known = [cell for cell in cells if cell.value is not None]
    parts = [sentence(f"{extremes(cells)}; {_certainty(known, measurement)}")]
    missing = [cell for cell in cells if cell.value is None and cell.layer not in unobserved]
    if missing:
        parts.append(
            sentence(f"{counted(len(missing), _noun(known))} without a value: {why_absent(measurement)}")
        )
    if measurement.bound == "at_least":
        parts.append("Values are lower bounds.")
    return " ".join(parts)


def by_layer(cells: Sequence[Cell]) -> Table:
    """Lowest, mean and highest head of each layer."""
    rows = []
    for layer in sorted({cell.layer for cell in cells if cell.layer is not None}):
        known = [cell for cell in cells if cell.layer == layer and cell.value is not None]
        rows.append((str(layer), *(_summary(known) if known else ("not measured", "", ""))))
    return Table(head=("Layer", "Lowest (head)", "Mean", "Highest (head)"), rows=tuple(rows))


def by_depth(cells: Mapping[str, Sequence[Cell]]) -> Table:
    """The value of each layer with its interval, one column per probe."""
    layers = sorted({cell.layer for column in cells.values() for cell in column if cell.layer is not None})
    columns = [{cell.layer: cell for cell in column} for column in cells.values()]
    rows = tuple((str(layer), *(_entry(column.get(layer)) for column in columns)) for layer in layers)
    return Table(head=("Layer", *cells), rows=rows)


def _certainty(known: Sequence[Cell], measurement: Measurement) -> str:
    widths = [(cell.high - cell.low) / 2 for cell in known if cell.low is not None and cell.high is not None]
    documents = counted(measurement.n, "document")
    if widths:
        return f"{documents}, ±{number(median(widths), 2)}"
    if measurement.n == 0:
        return "read from the weights"
    return f"{documents}, no interval: {why_absent(measurement)}"


def _noun(known: Sequence[Cell]) -> str:
    return "layer" if known[0].head is None else "head"


def _summary(known: Sequence[Cell]) -> tuple[str, str, str]:
    low, high = min(known, key=_value), max(known, key=_value)
    return (
        f"{number(_value(low))} ({low.head})",
        number(fmean(map(_value, known))),
        f"{number(_value(high))} ({high.head})",
    )


def _entry(cell: Cell | None) -> str:
    if cell is None or cell.value is None:
        return "not measured"
    return estimate(cell.value, cell.low, cell.high)


def _where(cell: Cell) -> str:
    return f"layer {cell.layer}" if cell.head is None else f"layer {cell.layer}, head {cell.head}"


def _value(cell: Cell) -> float:
    return 0.0 if cell.value is None else cell.value
