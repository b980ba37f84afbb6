"""The difference of every metric, head by head and layer by layer, over the samples both audits have."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.compare.records import Alignment, Difference
from audit.compare.samples import Samples, paired
from audit.compare.tables import EXACT, WEIGHTS, has_heads, rounded, table
from audit.compare.testing import Tested, corrected, has_changed, spread_of, tested
from audit.results import Measurement, Values
from audit.statistics.bootstrap import MINIMUM_DOCUMENTS
from audit.store import Entry

Array = NDArray[np.float64]


class _Cells(NamedTuple):
    metric: str
    probe: str
    tested: Tested
    by_layer: bool


def differences(
    before: Entry, after: Entry, *, probes: Sequence[str], alignment: Alignment
) -> dict[str, dict[str, Difference]]:
    """Every metric that both measured, on every probe that both were fed; tests are corrected all together."""
    sampled = list(_sampled(before, after, probes, alignment))
    found: dict[str, dict[str, Difference]] = {}
    for cells, q in zip(sampled, corrected([each.tested.p for each in sampled]), strict=True):
        found.setdefault(cells.metric, {})[cells.probe] = _difference(cells, q)
    for metric, probe in _shared(before, after, (*probes, WEIGHTS)):
        if probe not in found.get(metric, {}):
            one, other = (entry.audit.measurements[metric][probe] for entry in (before, after))
            exact = _exact(one, other, alignment)
            if exact is not None:
                found.setdefault(metric, {})[probe] = exact
    return found


def _shared(before: Entry, after: Entry, probes: Sequence[str]) -> Iterator[tuple[str, str]]:
    for metric, by_probe in sorted(before.audit.measurements.items()):
        for probe in probes:
            if probe in by_probe and probe in after.audit.measurements.get(metric, {}):
                yield metric, probe


def _sampled(before: Entry, after: Entry, probes: Sequence[str], alignment: Alignment) -> Iterator[_Cells]:
    entries = (before, after)
    samples = [Samples(entry.folder) for entry in entries]
    sizes = [len(entry.audit.coverage.layers) for entry in entries]
    heads = max(layer.heads for entry in entries for layer in entry.audit.coverage.layers)
    chosen = [[pair[side] for pair in alignment.pairs] for side in (0, 1)]
    for metric, probe in _shared(before, after, probes):
        values = [
            each.values(metric, probe, layers=size, heads=heads)
            for each, size in zip(samples, sizes, strict=True)
        ]
        one, other = values
        if one is None or other is None or one.shape[2] != other.shape[2]:
            continue
        both = paired(one[:, chosen[0]], other[:, chosen[1]])
        by_layer = one.shape[2] == 1 and not has_heads(before.audit.measurements[metric][probe])
        yield _Cells(
            metric, probe, tested(*both, seed=int(before.audit.plan["seed"]), spread=spread_of(one)), by_layer
        )


def _difference(cells: _Cells, q: Array) -> Difference:
    found = cells.tested
    n = int(found.n.max(initial=0))
    few = n < MINIMUM_DOCUMENTS
    nested = [_nested(each, by_layer=cells.by_layer) for each in (*found[:5], q)]
    before, after, difference, low, high, q_values = nested
    return Difference(
        before=before,
        after=after,
        difference=difference,
        low=None if few else low,
        high=None if few else high,
        q=None if few else q_values,
        changed=_surest_first(found, q, by_layer=cells.by_layer),
        cells=int((found.n > 0).sum()),
        n=n,
        absent=f"{n} paired samples are too few ({MINIMUM_DOCUMENTS} are needed)" if few else None,
    )


def _surest_first(found: Tested, q: Array, *, by_layer: bool) -> tuple[tuple[int, int | None], ...]:
    places = np.argwhere(has_changed(found, q))
    order = sorted(places.tolist(), key=lambda at: (q[tuple(at)], -abs(found.difference[tuple(at)]), at))
    return tuple((pair, None if by_layer else head) for pair, head in order)


def _exact(one: Measurement, other: Measurement, alignment: Alignment) -> Difference | None:
    """The difference of two numbers, or of two tables of them, that no sample stands behind."""
    tables = [table([m.value]) if isinstance(m.value, int | float) else table(m.value) for m in (one, other)]
    if tables[0] is None or tables[1] is None:
        return None
    single = not isinstance(one.value, list)
    chosen = [slice(None) if single else [pair[side] for pair in alignment.pairs] for side in (0, 1)]
    heads = min(each.shape[1] for each in tables if each is not None)
    before, after = tables[0][chosen[0], :heads], tables[1][chosen[1], :heads]
    by_layer = not has_heads(one)
    parts = [_nested(each, by_layer=by_layer) for each in (before, after, after - before)]
    if single:
        parts = [part[0] if isinstance(part, list) else part for part in parts]  # type: ignore[misc]
    return Difference(
        before=parts[0],
        after=parts[1],
        difference=parts[2],
        cells=int(np.isfinite(after - before).sum()),
        absent=EXACT,
    )


def _nested(array: Array, *, by_layer: bool) -> Values:
    """Lists of six significant digits, None for NaN; one number per pair where the metric is one of layers."""
    rows: list[Any] = [[rounded(value) for value in row] for row in array]
    return [row[0] for row in rows] if by_layer else rows
