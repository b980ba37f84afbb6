"""Every number with its interval as a tidy table: a row for each metric, probe, layer and head."""

import io
from collections.abc import Iterator
from typing import Any, Final

import pandas as pd

from audit.export.saying import plain
from audit.results import Audit, Measurement, Values

_TEXTS: Final = ("metric", "probe", "unit", "bound", "absent")
_FORMULA: Final = ("=", "+", "-", "@")


def frame(audit: Audit) -> pd.DataFrame:
    """Columns metric, probe, layer, head, value, low, high, n, unit, bound, absent (why there is no value)."""
    rows = [
        {"metric": metric, "probe": probe, **cell, "unit": _unit(audit, metric)}
        for metric, by_probe in sorted(audit.measurements.items())
        for probe, measured in sorted(by_probe.items())
        for cell in _cells(measured)
    ]
    columns = ["metric", "probe", "layer", "head", "value", "low", "high", "n", "unit", "bound", "absent"]
    kinds = dict.fromkeys(("layer", "head", "n"), "Int64") | dict.fromkeys(
        ("value", "low", "high"), "float64"
    )
    return pd.DataFrame(rows, columns=columns).astype(kinds | dict.fromkeys(_TEXTS, "string"))


def csv(audit: Audit) -> bytes:
    """As CSV, each text on one line; one that a spreadsheet would run as a formula begins with an apostrophe."""
    made = frame(audit)
    for name in _TEXTS:
        made[name] = made[name].map(_inert, na_action="ignore")
    return made.to_csv(index=False, lineterminator="\n").encode()


def parquet(audit: Audit) -> bytes:
    """As Parquet."""
    buffer = io.BytesIO()
    frame(audit).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _inert(text: str) -> str:
    said = plain(text)
    return f"'{said}" if said.startswith(_FORMULA) else said


def _unit(audit: Audit, metric: str) -> str | None:
    return audit.methods[metric].unit if metric in audit.methods else None


def _cells(measured: Measurement) -> Iterator[dict[str, Any]]:
    same = {"n": measured.n, "bound": measured.bound, "absent": measured.absent}
    for layer, head in _places(measured.value):
        numbers = {name: _at(getattr(measured, name), layer, head) for name in ("value", "low", "high")}
        yield {"layer": layer, "head": head, **numbers, **same}


def _places(values: Values) -> Iterator[tuple[int | None, int | None]]:
    if not isinstance(values, list):
        yield None, None
        return
    for layer, row in enumerate(values):
        if isinstance(row, list):
            yield from ((layer, head) for head in range(len(row)))
        else:
            yield layer, None


def _at(values: Values, layer: int | None, head: int | None) -> float | None:
    """The number at a place; None where there is none."""
    if layer is None:
        return None if isinstance(values, list) else values
    row = values[layer] if isinstance(values, list) else None
    if isinstance(row, list):
        return None if head is None else row[head]
    return row
