"""Cuts a probe into pieces that any process may measure: whoever is free takes one, and what is lost is done again.

Where a probe is cut depends on its batches alone, and corpus sums are added piece by piece: however many processes
share the pieces, the numbers are the same to the bit.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from audit.limits import MOST_SHARDS
from audit.measure import Recorder
from audit.models.loading import LoadedModel
from audit.models.observing import Receiver, Together, in_step, observe
from audit.observations import Batch
from audit.partial import Partial
from audit.probes.sampling import Feed
from audit.progress import Advance
from audit.request import Request
from audit.results.subject import LayerCoverage
from audit.sharing import PAUSE, refuse_unwanted
from audit.similarity import Kernels

Look = Callable[[Batch, Recorder], set[int]]  # one pass, its numbers recorded -> layers observed


class Piece(NamedTuple):
    """Consecutive batches of a probe, how they are looked at, and what is known of them."""

    batches: tuple[Batch, ...]
    look: Look
    recorder: Recorder
    kept: Partial
    seen: set[int]  # layers


class Forward:
    """Looks at batches in forward passes; `kernels` are those of the batch `first` once it came."""

    def __init__(
        self, loaded: LoadedModel, layers: Sequence[LayerCoverage], *, first: Batch | None = None
    ) -> None:
        self._loaded, self._layers, self._first = loaded, layers, first
        self.kernels: Kernels | None = None

    def __call__(self, batch: Batch, recorder: Recorder) -> set[int]:
        """The layers seen."""
        receiver: Receiver = recorder
        recorder.begin(batch)
        if batch is self._first:
            self.kernels = Kernels(self._layers)
            receiver = Together(recorder, self.kernels)
        return observe(self._loaded.model, batch, receiver, layers=self._layers).seen


def pieces(
    asked: Request,
    fed: Feed,
    batches: Sequence[Batch],
    look: Look,
    recorder: Recorder,
    *,
    gradients: bool = False,
) -> tuple[Piece, ...]:
    """The pieces of what is fed of a probe, recording into rows of `recorder`."""
    cuts = cut(batches)
    parts = [recorder.part(own[0].samples[0], own[-1].samples[-1], gradients=gradients) for own in cuts]
    return tuple(
        Piece(own, look, part, Partial.of(asked, fed, part, number), set())
        for number, (own, part) in enumerate(zip(cuts, parts, strict=True))
    )


def cut(batches: Sequence[Batch]) -> list[tuple[Batch, ...]]:
    """The batches in at most 16 runs of nearly the same length."""
    count = min(MOST_SHARDS, len(batches))
    ends = [len(batches) * place // count for place in range(count + 1)]
    return [tuple(batches[first:end]) for first, end in pairwise(ends)]


def measure_in_step(
    found: Sequence[Piece], loaded: LoadedModel, layers: Sequence[LayerCoverage], advance: Advance
) -> None:
    """Measure all of them where weights are streamed, as many batches at once as may wait for each other."""
    assert loaded.streamed is not None  # noqa: S101 - others go batch by batch
    looks = [(piece, batch) for piece in found for batch in piece.batches]
    for start in range(0, len(looks), loaded.streamed.at_once):
        some = looks[start : start + loaded.streamed.at_once]
        calls = [partial(piece.look, batch, piece.recorder.of(batch)) for piece, batch in some]
        for (piece, _), seen in zip(some, in_step(loaded, calls, layers=layers), strict=True):
            piece.seen.update(seen)
            advance(1)


def gather(found: Sequence[Piece], recorder: Recorder, advance: Advance) -> set[int]:
    """The layers seen, once all pieces are in `recorder`: those that another process is at are waited for."""
    left = found
    while left:
        refuse_unwanted()
        held = _each_free(left, advance)
        if len(held) == len(left):
            time.sleep(PAUSE)
        left = held
    for piece in found:
        recorder.sums.absorb(piece.recorder.sums)
    return set().union(*(piece.seen for piece in found))


def _each_free(found: Sequence[Piece], advance: Advance) -> list[Piece]:
    """Measure every piece that is free; those are left over that other processes are at."""
    held = []
    for piece in found:
        with piece.kept.taken() as mine:
            if mine:
                _measure(piece, advance)
            else:
                held.append(piece)
    return held


def _measure(piece: Piece, advance: Advance) -> None:
    """Look at what nobody has yet of a piece."""
    batches, look, recorder, kept, seen = piece
    done = len(batches) if seen else kept.restore(recorder, seen)
    advance(done)
    for number, batch in enumerate(batches[done:], done + 1):
        seen |= look(batch, recorder)
        kept.keep(number, recorder, seen, last=number == len(batches))
        advance(1)
