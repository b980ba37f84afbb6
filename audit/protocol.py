"""Measures by a published protocol: on as many texts of such a length as its authors took, whatever the plan says."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from audit.corpus import WHOLE
from audit.definitions import CorpusMetric, Quantity
from audit.measure import Recorder
from audit.models.loading import LoadedModel
from audit.models.observing import observe
from audit.probes.sampling import Feed
from audit.progress import Progress
from audit.results import Measurement
from audit.results.subject import LayerCoverage

Windows = tuple[int, int]  # how many texts, of how many tokens


def apart(metrics: Sequence[Quantity]) -> tuple[tuple[Quantity, ...], dict[Windows, list[CorpusMetric]]]:
    """The metrics that are measured on the plan's texts, and those that bring a protocol."""
    own: dict[Windows, list[CorpusMetric]] = {}
    for metric in metrics:
        if isinstance(metric, CorpusMetric) and metric.windows:
            own.setdefault(metric.windows, []).append(metric)
    usual = tuple(m for m in metrics if not (isinstance(m, CorpusMetric) and m.windows))
    return usual, own


def by_protocol(
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    wanted: dict[Windows, list[CorpusMetric]],
    texts: Callable[[Windows], Feed],
    *,
    progress: Progress,
) -> dict[str, Measurement]:
    """Those metrics, each on the windows it asks for; `texts` cuts them, fewer where a probe has no more."""
    found: dict[str, Measurement] = {}
    for windows, metrics in wanted.items():
        fed = texts(windows)
        recorder = Recorder(metrics, layers, fed.samples)
        with progress.stage(f"observe {fed.name}, {windows[0]} x {windows[1]}", len(fed.batches)) as advance:
            for batch in fed.batches:
                recorder.begin(batch)
                observe(loaded.model, batch, recorder, layers=layers)
                advance(1)
        full = sum(int(length) == windows[1] for batch in fed.batches for length in batch.tokens.sum(1))
        for name, measured in recorder.sums.measurements(layers).items():
            found[name] = measured if measured.value is None else _said(measured, full, windows)
    return found


def _said(measured: Measurement, full: int, windows: Windows) -> Measurement:
    """The measurement with the texts behind it, and by how many they fall short."""
    wanted, length = windows
    kept = f"{full} sequences of {length} tokens" + (
        "" if full == wanted else f", not the published {wanted}"
    )
    return replace(measured, n=full, absent=f"{WHOLE}; {kept}")
