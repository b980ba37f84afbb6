"""Cuts documents into windows of token ids and deals them out fairly between documents."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from audit.probes.framing import Frame, encode


class Window(NamedTuple):
    """One sample: token ids to feed, and which of them are the document's own."""

    document: str
    ids: tuple[int, ...]  # with what the tokenizer or the chat template adds
    text: tuple[int, ...]  # the document's own


class Deal(NamedTuple):
    """The windows chosen, in sample order, and how many were met that were too short."""

    windows: tuple[Window, ...]
    too_short: int


def text_windows(
    document: str, texts: Iterable[str], *, tokenizer: PreTrainedTokenizerBase, frame: Frame, room: int
) -> Iterator[Window]:
    """Consecutive windows of one document, each at most `room` of its tokens inside the frame.

    A document may be given in passages (`texts`); no window crosses from one into the next.
    """
    for text in texts:
        tokens = encode(tokenizer, text)
        for start in range(0, len(tokens), room):
            own = tuple(tokens[start : start + room])
            yield Window(document, (*frame.before, *own, *frame.after), own)


def random_windows(
    document: str, *, vocabulary: NDArray[np.int64], length: int, seed: Sequence[int]
) -> Iterator[Window]:
    """An endless stream of windows of ids drawn uniformly and independently from `vocabulary`."""
    generator = np.random.default_rng(seed)
    while True:
        ids = tuple(generator.choice(vocabulary, size=length).tolist())
        yield Window(document, ids, ids)


def deal(streams: Sequence[Iterator[Window]], count: int, *, shortest: int) -> Deal:
    """Up to `count` windows: the first of each document, then the second of each, and so on.

    Documents are the independent units of the intervals, so no document gives two windows before every other
    has given one. Windows of fewer than `shortest` own tokens are passed over. Documents are read only as far
    as needed.
    """
    taken: list[Window] = []
    too_short = 0
    while streams and len(taken) < count:
        alive = []
        for stream in streams:
            window = next(stream, None)
            if window is None:
                continue
            alive.append(stream)
            if len(window.text) < shortest:
                too_short += 1
                continue
            taken.append(window)
            if len(taken) == count:
                break
        streams = alive
    return Deal(tuple(taken), too_short)
