"""How fast this machine runs this model: a few rows of real text, fed the ways an audit feeds them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from audit.definitions import Quantity
from audit.gradients import Gradients
from audit.interventions.effects import objective
from audit.interventions.prefix import clean_pass
from audit.measure import Recorder
from audit.models.loading import LoadedModel
from audit.models.observing import observe
from audit.observations import Batch
from audit.probes.sampling import Feed
from audit.probes.sentences import Crossing
from audit.results import Plan
from audit.results.subject import LayerCoverage
from audit.skew.design import Design
from audit.skew.readings import read

ROWS = 4  # of a batch: few enough to be quick, enough to run at a batch's speed
ALIKE = 1.25  # windows whose lengths differ by less run at one speed


class Observed(NamedTuple):
    """Seconds per token of a pass that every metric looks at."""

    spectral: float  # with the singular values of all patterns
    usual: float  # without
    length: int  # tokens of a window


def shortened(batch: Batch, rows: int) -> Batch:
    """The first rows of a batch."""
    return replace(
        batch,
        input_ids=batch.input_ids[:rows],
        tokens=batch.tokens[:rows],
        special=batch.special[:rows],
        samples=batch.samples[:rows],
        documents=batch.documents[:rows],
    )


def observing(
    loaded: LoadedModel, layers: Sequence[LayerCoverage], metrics: Sequence[Quantity], feeds: Sequence[Feed]
) -> dict[str, Observed]:
    """The speed on each feed, by name; feeds with windows of about one length share it."""
    known: list[Observed] = []
    found: dict[str, Observed] = {}
    for fed in feeds:
        batch = shortened(fed.batches[0], ROWS)
        length = batch.input_ids.shape[1]
        near = next((k for k in known if max(k.length, length) < ALIKE * min(k.length, length)), None)
        if near is None:
            if not known:  # a first pass prepares what later ones find prepared
                _observed(loaded, layers, metrics, shortened(batch, 1), spectra=0)
            spectral, usual = (
                _observed(loaded, layers, metrics, batch, spectra=spectra) for spectra in (None, 0)
            )
            near = Observed(spectral, usual, length)
            known.append(near)
        found[fed.name] = near
    return found


def _observed(
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    metrics: Sequence[Quantity],
    batch: Batch,
    *,
    spectra: int | None,
) -> float:
    recorder = Recorder(metrics, layers, batch.samples[-1] + 1, spectra=spectra)
    recorder.begin(batch)
    seconds = timed(lambda: observe(loaded.model, batch, recorder, layers=layers))
    return seconds / batch.input_ids.numel()


def trying(loaded: LoadedModel, layers: Sequence[LayerCoverage], batch: Batch, *, seed: int) -> float:
    """Seconds per token of a pass that an experiment makes; 0 where none can be made."""
    measure = objective(loaded, seed=seed)
    if isinstance(measure, str):
        return 0.0
    batch = shortened(batch, ROWS)

    def tried() -> None:
        question = measure.ask(batch)
        clean = clean_pass(loaded.model, question.fed, layers=layers, keep=None)
        question.read(clean.output)

    tried()  # prepares
    return timed(tried) / batch.input_ids.numel()


def going_back(
    loaded: LoadedModel, layers: Sequence[LayerCoverage], metrics: Sequence[Quantity], fed: Feed, plan: Plan
) -> float:
    """Seconds per token of a pass forward and backward; 0 where the model has no loss."""
    gradients = Gradients(loaded, layers, metrics, plan)
    batch = shortened(fed.batches[0], 1)
    if not (samples := gradients.samples(replace(fed, batches=(batch,)))):
        return 0.0
    recorder = Recorder(metrics, layers, 1)
    return timed(lambda: gradients.record(samples[0], recorder)) / batch.input_ids.numel()


def reading(
    loaded: LoadedModel, layers: Sequence[LayerCoverage], made: Design, crossing: Crossing, *, seed: int
) -> float:
    """Seconds per token of sentences whose attention is compared."""

    def compared() -> None:
        read(loaded.model, made, [crossing], layers=layers, seed=seed)

    compared()  # prepares: what is compiled for products of this size
    return timed(compared) / crossing.batch.input_ids.numel()


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` took."""
    started = time.monotonic()
    work()
    return time.monotonic() - started
