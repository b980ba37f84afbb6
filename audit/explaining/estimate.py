"""What an audit will do and take, found by loading the model and running a few rows; nothing is kept of it."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audit.definitions import PairProbe, Probe
from audit.errors import UnusableInput
from audit.exhibits import LARGEST
from audit.explaining import memory, speeds
from audit.explaining.memory import Build
from audit.explaining.people import people
from audit.explaining.stages import Extent, Heads, Stage, experiments, spectral_tokens
from audit.feeding import cut, feeds_of, longest_text, most_like_prose, texts_of
from audit.gradients import DOCUMENTS
from audit.interventions.experiments import asked_for
from audit.interventions.reach import passes_over
from audit.limits import SMALLEST_LENGTH
from audit.models.coverage import observed, survey
from audit.models.loading import LoadedModel, load_model
from audit.models.streaming import Room
from audit.nulls import SAMPLES
from audit.probes.sampling import Feed
from audit.protocol import Windows, apart
from audit.request import Request
from audit.results import Plan
from audit.results.subject import LayerCoverage

# Seconds, of audits on one core on 2026-11-26.
NULLS = {"quick": 0.3, "standard": 1.2, "full": 1.2}
REPORT, REPORT_PER_HEAD, PDF = 1.6, 0.004, 2.0
LATER_DEPTHS = 1.4  # times as much to draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What an audit will do, in order; bytes are those of this process."""

    stages: tuple[Stage, ...]
    peak: int  # bytes
    available: int  # bytes that the process has or may take
    left_out: tuple[str, ...] = ()  # what cannot be foreseen

    @property
    def seconds(self) -> float:
        """Of all stages, as a rule."""
        return sum(stage.seconds for stage in self.stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """The model and its texts."""

    asked: Request
    loaded: LoadedModel
    layers: tuple[LayerCoverage, ...]
    feeds: tuple[Feed, ...]


def estimate(asked: Request, *, spent: Callable[[], float], pdf: bool = True) -> Estimate:
    """The passes, time and memory of this audit.

    `spent` gives the seconds since the program started; they count as loading.

    Raises:
        UnusableInput: it takes more memory than there is; the message names the setting that would fit.
    """
    if asked.plan.threads:
        torch.set_num_threads(asked.plan.threads)
    most = asked.plan.max_memory
    allowed = memory.resident() + most if most else None
    loaded = load_model(
        asked.checkpoint,
        dtype=getattr(torch, asked.plan.dtype),
        device=asked.plan.device,
        room=Room(most, Path(tempfile.gettempdir())) if most else None,
    )
    with _counted(loaded.model) as calls:
        found = survey(loaded.model)
    layers = observed(found, {layer.index for layer in found if layer.reason is None})
    feeds, _ = feeds_of(asked, loaded)
    ready = _Ready(asked=asked, loaded=loaded, layers=layers, feeds=feeds)
    room = memory.resident() + memory.available()
    room = min(room, allowed) if allowed else room
    peak = _checked(ready, room)
    load = Stage(name="load", passes=len(calls), tokens=sum(calls), seconds=spent())
    stages = (load, *_observing(ready), *_weights(asked, calls), *_around(ready, pdf=pdf))
    return Estimate(stages=stages, peak=peak, available=room, left_out=_unforeseen(asked))


@contextmanager
def _counted(model: Any) -> Iterator[list[int]]:
    """The tokens of each pass that is made meanwhile."""
    calls: list[int] = []

    def note(_module: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        calls.append(0 if ids is None else ids.numel())

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def _observing(ready: _Ready) -> list[Stage]:
    """What is fed to see what metrics read: probes, gradients, a protocol of its own, fresh weights, people."""
    asked, plan, loaded = ready.asked, ready.asked.plan, ready.loaded
    usual, published = apart(asked.metrics)
    speed = speeds.observing(loaded, ready.layers, usual, ready.feeds)
    back = any(metric.observes == "gradient" for metric in usual)
    stages = []
    for fed in ready.feeds:
        extent, spectral = Extent.of([fed]), spectral_tokens(fed, plan.spectra)
        seconds = spectral * speed[fed.name].spectral + (extent.tokens - spectral) * speed[fed.name].usual
        stages.append(
            Stage(name=f"observe {fed.name}", passes=extent.batches, tokens=extent.tokens, seconds=seconds)
        )
        if back and (stage := _gradients(ready, fed)) is not None:
            stages.append(stage)
    likely = most_like_prose(asked, ready.feeds)
    if likely is not None:
        stages += [_protocol(ready, likely, windows) for windows in published]
    for probe in asked.pairs:
        stages += _people(ready, probe)
    return stages


def _weights(asked: Request, calls: Sequence[int]) -> list[Stage]:
    """One pass as small as those of the survey finds where weights stand."""
    if not any(metric.observes == "weights" for metric in asked.metrics):
        return []
    return [Stage(name="weights", passes=1, tokens=min(calls, default=0), seconds=0.0)]


def _people(ready: _Ready, probe: PairProbe) -> list[Stage]:
    plan = ready.asked.plan
    return people(
        ready.loaded,
        ready.layers,
        probe,
        plan,
        rate=lambda made, crossing: speeds.reading(
            ready.loaded, ready.layers, made, crossing, seed=plan.seed
        ),
    )


def _protocol(ready: _Ready, probe: Probe, windows: Windows) -> Stage:
    samples, length = windows
    wanted = dataclasses.replace(ready.asked.plan, samples=samples, max_length=length)
    extent = Extent.of([cut(probe, ready.loaded, wanted)])
    return Stage(
        name=f"observe {probe.name}, {samples} x {length}",
        passes=extent.batches,
        tokens=extent.tokens,
        seconds=extent.tokens * _trying(ready, ready.feeds[0]),
    )


def _gradients(ready: _Ready, fed: Feed) -> Stage | None:
    """A pass back costs two ahead."""
    plan, usual = ready.asked.plan, apart(ready.asked.metrics)[0]
    rate = speeds.going_back(ready.loaded, ready.layers, usual, fed, plan)
    longest = max(batch.input_ids.shape[1] for batch in fed.batches)
    if not rate or longest > plan.max_length:
        return None
    samples = min(DOCUMENTS, fed.documents)
    tokens = samples * round(fed.tokens / fed.samples)
    return Stage(name=f"gradients {fed.name}", passes=3 * samples, tokens=3 * tokens, seconds=tokens * rate)


def _trying(ready: _Ready, fed: Feed) -> float:
    return speeds.trying(ready.loaded, ready.layers, fed.batches[0], seed=ready.asked.plan.seed)


def _around(ready: _Ready, *, pdf: bool) -> list[Stage]:
    """What follows: nulls, experiments, pictures, pages."""
    asked, plan, loaded = ready.asked, ready.asked.plan, ready.loaded
    heads = Heads(len(ready.layers), sum(layer.heads for layer in ready.layers))
    rate = _trying(ready, ready.feeds[0])
    text = next((fed for fed in ready.feeds if fed.name != "random"), None)
    stages = []
    if text is not None:
        first = text.batches[0].input_ids
        rows = min(SAMPLES, len(first)) if plan.depth != "quick" else 0
        tokens = rows * first.shape[1]
        stages.append(
            Stage(name="nulls", passes=rows, tokens=tokens, seconds=NULLS[plan.depth] + tokens * rate)
        )
    if plan.depth == "full" and loaded.task == "causal" and (longest := longest_text(asked, ready.feeds)):
        documents = min(DOCUMENTS, longest.documents)
        passes, tokens = passes_over(longest.batches[0].input_ids.shape[1], documents)
        stages.append(Stage(name="reach", passes=passes, tokens=tokens, seconds=tokens * rate))
    if asked_for(plan):
        texts = texts_of(asked, loaded, ready.feeds).confirmation
        loss = loaded.task != "encoder"
        stages += experiments(plan.depth, texts=texts, heads=heads, loss=loss, rate=rate)
    tokens = min(LARGEST, ready.feeds[0].batches[0].input_ids.shape[1])
    stages.append(Stage(name="pictures", passes=1, tokens=tokens, seconds=tokens * rate))
    drawn = REPORT + REPORT_PER_HEAD * heads.heads + (PDF if pdf else 0.0)
    seconds = drawn * (1.0 if plan.depth == "quick" else LATER_DEPTHS)
    return [*stages, Stage(name="report", passes=0, tokens=0, seconds=seconds)]


def _unforeseen(asked: Request) -> tuple[str, ...]:
    return tuple(probe.name for probe in asked.published)


def _build(ready: _Ready) -> Build:
    loaded, layers = ready.loaded, ready.layers
    config = loaded.config.get_text_config()
    table = loaded.model.get_input_embeddings()
    return Build(
        task=loaded.task,
        layers=len(layers),
        heads=max(layer.heads for layer in layers),
        all_heads=sum(layer.heads for layer in layers),
        hidden=int(getattr(config, "hidden_size", table.weight.shape[1])),
        vocabulary=int(table.weight.shape[0]),
        bytes=getattr(torch, ready.asked.plan.dtype).itemsize,
        whole_patterns=any(layer.path == "eager" for layer in layers),
    )


def _peak(ready: _Ready, feeds: Sequence[Feed]) -> int:
    """Bytes at the peak of an audit that feeds these."""
    shapes = [memory.Fed(*batch.input_ids.shape) for fed in feeds for batch in fed.batches[:1]]
    pairs = ready.asked.pairs and ready.loaded.tokenizer is not None
    sentences = memory.Fed(memory.ROWS, memory.SENTENCE) if pairs else None
    more = memory.beyond(_build(ready), texts=shapes, sentences=sentences, tried=asked_for(ready.asked.plan))
    streamed = ready.loaded.streamed
    return (streamed.most_held + memory.anonymous() if streamed else memory.resident()) + more


def _checked(ready: _Ready, room: int) -> int:
    """The peak, in bytes, if there is room for it."""
    peak = _peak(ready, ready.feeds)
    if peak <= room:
        return peak
    raise UnusableInput(
        f"about {peak / 1e9:.1f} GB of memory are needed and {room / 1e9:.1f} GB are available: {_fitting(ready, room)}"
    )


def _fitting(ready: _Ready, room: int) -> str:
    """The setting that would fit, the one that changes least."""
    for words, plan in _smaller(ready.asked.plan):
        lesser = dataclasses.replace(
            ready,
            asked=ready.asked._replace(plan=plan, pairs=() if plan.depth == "quick" else ready.asked.pairs),
        )
        if _peak(lesser, feeds_of(lesser.asked, ready.loaded)[0]) <= room:
            return f"use {words}"
    return "no setting fits, use a machine with more"


def _smaller(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Ever smaller plans, each with the options that make it."""
    for depth in dict.fromkeys((plan.depth, "quick")):
        said = "" if depth == plan.depth else " --depth quick"
        rows, length = plan.batch_size, plan.max_length
        if said:
            yield said.strip(), dataclasses.replace(plan, depth=depth)
        while rows > 1:
            rows //= 2
            yield f"--batch-size {rows}{said}", dataclasses.replace(plan, depth=depth, batch_size=rows)
        while length // 2 >= SMALLEST_LENGTH:
            length //= 2
            small = dataclasses.replace(plan, depth=depth, batch_size=1, max_length=length)
            yield f"--batch-size 1 --max-length {length}{said}", small
