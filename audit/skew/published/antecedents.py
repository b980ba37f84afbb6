"""Attention from a pronoun to the occupations of its sentence, summed over sentences as they are fed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.models.observing import observe
from audit.observations import AttentionObservation
from audit.probes.batching import batches
from audit.probes.published.items import Gender, Pair, Told
from audit.probes.windows import Window
from audit.results.subject import LayerCoverage
from audit.skew.published.spelling import Spelling

Array = NDArray[np.float64]

TOGETHER = 16  # pairs fed at once
SLOTS = 2  # occupations of a sentence, at most


class _Row(NamedTuple):
    """A sentence with one pronoun, as tokens."""

    ids: tuple[int, ...]
    pronoun: tuple[int, ...]  # positions
    terms: tuple[str, ...]
    mentions: tuple[tuple[int, ...], ...]  # positions of each term
    sign: float  # +1 for the male pronoun, -1 for the female one


@dataclass(slots=True)
class Attended:
    """Mass that an occupation receives from the pronoun, by occupation and cell (all heads of all layers in order)."""

    terms: tuple[str, ...]
    lead: Array  # half of what it receives from the male pronoun less from the female one, mean, [term, cell]
    level: Array  # mean of both, [term, cell]
    counts: NDArray[np.int64]  # pairs of sentences, [term]
    pairs: int  # read
    unaligned: int  # in which pronoun or occupations are not found in the tokens


def attended(
    model: Any,
    spelling: Spelling,
    pairs: Sequence[Pair],
    *,
    layers: Sequence[LayerCoverage],
    advance: Callable[[int], None] = lambda _: None,
) -> Attended:
    """One pass over both sentences of each pair; a cell is NaN where no pronoun sees the occupation.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    terms = tuple(sorted({mention.term for pair in pairs for mention in pair.more.mentions}))
    sums = _Sums(terms, layers)
    unaligned, seen = 0, np.zeros(len(terms), np.int64)
    for start in range(0, len(pairs), TOGETHER):
        some = pairs[start : start + TOGETHER]
        rows = []
        for pair in some:
            both = _rows(spelling, pair)
            unaligned += not both
            rows += both
            for term in both[0].terms if both else ():
                seen[terms.index(term)] += 1
        if rows:
            windows = [Window(str(number), row.ids, row.ids) for number, row in enumerate(rows)]
            batch = next(batches(windows, size=len(rows), pad_id=0, special_ids=()))
            observe(model, batch, _Receiver(sums, rows, batch.input_ids.shape[1]), layers=layers)
        advance(len(some))
    return Attended(terms, *sums.means(), seen, len(pairs) - unaligned, unaligned)


def _rows(spelling: Spelling, pair: Pair) -> list[_Row]:
    """Both sentences, or none where one does not line up with its tokens."""
    signs: Mapping[Gender, float] = {"male": 1.0, "female": -1.0}
    sign = signs[pair.fits] if pair.fits else 0.0
    rows = [_row(spelling, told, each) for told, each in ((pair.more, sign), (pair.less, -sign))]
    return [row for row in rows if row] if sign and all(rows) else []


def _row(spelling: Spelling, told: Told, sign: float) -> _Row | None:
    if not told.mentions or not told.pronouns:
        return None
    spans = (told.pronouns[0], *(mention.span for mention in told.mentions))
    ids, (pronoun, *mentions) = spelling.covering(told.text, spans)
    if not pronoun or not all(mentions) or not spelling.fits(ids):
        return None
    return _Row(ids, pronoun, tuple(mention.term for mention in told.mentions), tuple(mentions), sign)


class _Sums:
    """Running sums of each term and cell, so that memory does not grow with the number of pairs."""

    def __init__(self, terms: Sequence[str], layers: Sequence[LayerCoverage]) -> None:
        self.place = {term: row for row, term in enumerate(terms)}
        self.layers = layers
        self.starts = np.cumsum([0, *(layer.heads for layer in layers)])
        self.lead, self.total, self.count = (np.zeros((len(terms), self.starts[-1])) for _ in range(3))

    def means(self) -> tuple[Array, Array]:
        """Lead and level; both are per pair, of which each gives two sentences."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.lead / self.count, self.total / self.count


class _Receiver:
    """Reads each layer of one batch."""

    def __init__(self, sums: _Sums, rows: Sequence[_Row], width: int) -> None:
        self._sums, self._width = sums, width
        self._pronouns = torch.zeros(len(rows), width)
        self._mentions = torch.zeros(len(rows), SLOTS, width)
        for number, row in enumerate(rows):
            self._pronouns[number, list(row.pronoun)] = 1 / len(row.pronoun)
            for slot, places in enumerate(row.mentions):
                self._mentions[number, slot, list(places)] = 1.0
        self._cells = [
            (number, slot, sums.place[term], row.sign)
            for number, row in enumerate(rows)
            for slot, term in enumerate(row.terms)
        ]

    def on_attention(self, observation: AttentionObservation) -> None:
        """One layer."""
        layer = self._sums.layers[observation.layer]
        if observation.kind != "self" or observation.pattern.shape[-2:] != (self._width, self._width):
            return
        if layer.stack == "decoder" and any(each.stack == "encoder" for each in self._sums.layers):
            return  # one token behind
        mass = self._read(torch.where(observation.visible, observation.pattern.float(), 0.0)).numpy()
        seen = self._read(observation.visible[:, :1].float())[:, 0].numpy() > 0
        cells = slice(self._sums.starts[observation.layer], self._sums.starts[observation.layer + 1])
        for number, slot, term, sign in self._cells:
            if seen[number, slot]:
                self._sums.lead[term, cells] += sign * mass[number, :, slot] / 2
                self._sums.total[term, cells] += mass[number, :, slot] / 2
                self._sums.count[term, cells] += 0.5

    def _read(self, pattern: Tensor) -> Tensor:
        """From the pronoun to each mention, [batch, head, slot] of [batch, head, query, key]."""
        pronouns, mentions = (each.to(pattern.device) for each in (self._pronouns, self._mentions))
        return torch.einsum("bq,bhqk,bmk->bhm", pronouns, pattern, mentions).double().cpu()
