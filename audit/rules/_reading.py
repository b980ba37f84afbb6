"""What most rules do with a measurement: find the probes to judge on, be cautious with intervals, show the evidence."""

from typing import Literal

from audit.definitions import Case, Cell
from audit.results import Evidence


def measured_texts(case: Case, metric: str) -> list[str]:
    """The text probes on which `metric` has a number."""
    return [probe for probe in case.texts() if any(case.cells(metric, probe))]


def on_all(
    case: Case, metric: str, probes: list[str], layer: int, head: int | None = None
) -> list[Cell] | None:
    """The same cell on each of `probes`; None where one is absent."""
    cells = [case.cell(metric, probe, layer, head) for probe in probes]
    found = [cell for cell in cells if cell is not None]
    return found if len(found) == len(probes) else None


def upper(cell: Cell) -> float:
    """The upper bound of the 95% interval, or the value where there is none."""
    return cell.value if cell.high is None else cell.high


def lower(cell: Cell) -> float:
    """The lower bound of the 95% interval, or the value where there is none."""
    return cell.value if cell.low is None else cell.low


def shown(
    cell: Cell,
    metric: str,
    probe: str,
    *,
    threshold: float | None = None,
    direction: Literal["below", "above"] | None = None,
    null: float | None = None,
) -> Evidence:
    """A cell as evidence."""
    return Evidence(
        metric=metric,
        probe=probe,
        value=cell.value,
        low=cell.low,
        high=cell.high,
        n=cell.n,
        null=null,
        threshold=threshold,
        direction=direction,
    )
