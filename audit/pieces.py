"""Cuts a probe into pieces that any process may measure: whoever is free takes one, and what is lost is done again.

Where a probe is cut depends on its batches alone, and corpus sums are added piece by piece: however many processes
share the pieces, the numbers are the same to the bit.
"""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from audit.limits import MOST_SHARDS
from audit.measure import Recorder
from audit.models.loading import LoadedModel
from audit.models.observing import Receiver, Together, observe
from audit.observations import Batch
from audit.partial import Partial
from audit.probes.sampling import Feed
from audit.progress import Advance
from audit.request import Request
from audit.results.subject import LayerCoverage
from audit.similarity import Kernels

_PAUSE: Final = 0.1  # seconds between two looks at pieces that others work on


class Piece(NamedTuple):
    """Consecutive batches of a probe and what is known of them."""

    batches: tuple[Batch, ...]
    recorder: Recorder
    partial: Partial
    seen: set[int]  # layers

    @property
    def opens(self) -> bool:
        """Whether it is the probe's first."""
        return self.batches[0].samples[0] == 0


class Seen(NamedTuple):
    """What a probe showed beside its numbers."""

    layers: set[int]
    kernels: Kernels | None  # of its first batch, where they were asked for and it was observed here


def pieces(asked: Request, fed: Feed, recorder: Recorder, kept: Path | None) -> tuple[Piece, ...]:
    """The pieces of a probe, each recording its rows of `recorder`; what is measured of one lies in `kept`."""
    count = min(MOST_SHARDS, len(fed.batches))
    ends = pairwise(len(fed.batches) * place // count for place in range(count + 1))
    return tuple(
        Piece(
            fed.batches[first:end],
            recorder.part(fed.batches[first].samples[0], fed.batches[end - 1].samples[-1]),
            Partial.of(kept, asked, fed, recorder, number),
            set(),
        )
        for number, (first, end) in enumerate(ends)
    )


def gather(
    found: Sequence[Piece],
    recorder: Recorder,
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    advance: Advance,
    *,
    kernels: bool,
) -> Seen:
    """All pieces in `recorder`: measured here where they are free, waited for where another process is at them."""
    opened: list[Kernels | None] = []
    _each(found, lambda piece: opened.append(measure(piece, loaded, layers, advance, kernels=kernels)))
    for piece in found:
        recorder.sums.absorb(piece.recorder.sums)
    return Seen(set().union(*(piece.seen for piece in found)), next(filter(None, opened), None))


def each_free(found: Sequence[Piece], work: Callable[[Piece], object]) -> list[Piece]:
    """Do the work on every piece that is free; those are left over that other processes are at."""
    held = []
    for piece in found:
        with piece.partial.taken() as mine:
            if mine:
                work(piece)
            else:
                held.append(piece)
    return held


def measure(
    piece: Piece,
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    advance: Advance,
    *,
    kernels: bool = False,
) -> Kernels | None:
    """Observe what nobody has yet of a piece; with `kernels`, those of the probe's first batch where it is in it."""
    done = piece.partial.restore(piece.recorder, piece.seen)
    advance(done)
    first = Kernels(layers) if kernels and piece.opens and not done else None
    for number, batch in enumerate(piece.batches[done:], done + 1):
        piece.recorder.begin(batch)
        receiver: Receiver = Together(piece.recorder, first) if first and number == 1 else piece.recorder
        piece.seen.update(observe(loaded.model, batch, receiver, layers=layers).seen)
        piece.partial.keep(number, piece.recorder, piece.seen, last=number == len(piece.batches))
        advance(1)
    return first


def _each(found: Sequence[Piece], work: Callable[[Piece], object]) -> None:
    while found:
        held = each_free(found, work)
        if len(held) == len(found):
            time.sleep(_PAUSE)
        found = held
