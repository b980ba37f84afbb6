"""Feeds the sentences of an axis and keeps what is compared, term by term and template by template."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from audit.models.observing import observe
from audit.observations import AttentionObservation
from audit.probes.sentences import Crossing
from audit.results.subject import LayerCoverage
from audit.skew.design import Design, placed
from audit.skew.words import DIVERGENCES, QUANTITIES, words_of

Array = NDArray[np.float64]

MOST_PAIRS = 64  # of sentences compared per template; more cost more than the pass


@dataclass(slots=True)
class Readings:
    """What was read of one axis; cells are all heads of all layers, in order of layer and head."""

    values: dict[str, NDArray[np.float32]]  # quantity -> [template, term, cell], NaN where not defined
    totals: dict[str, Array]  # divergence -> [cell, term, term], summed over sentences
    counts: dict[str, Array]  # divergence -> sentences in which two terms were compared, [term, term]
    sentences: int = 0
    tokens: int = 0

    @classmethod
    def blank(cls, design: Design, layers: Sequence[LayerCoverage]) -> "Readings":
        """Nothing read yet."""
        cells, terms = sum(layer.heads for layer in layers), len(design.chosen)
        shape = (len(design.templates), terms, cells)
        return cls(
            values={name: np.full(shape, np.nan, np.float32) for name in QUANTITIES},
            totals={name: np.zeros((cells, terms, terms)) for name in DIVERGENCES},
            counts={name: np.zeros((terms, terms)) for name in DIVERGENCES},
        )


def read(
    model: Any,
    design: Design,
    crossings: Iterable[Crossing],
    *,
    layers: Sequence[LayerCoverage],
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Readings:
    """One pass over every sentence of `design`.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    readings = Readings.blank(design, layers)
    for crossing in crossings:
        pairs = _compared(crossing.templates, seed)
        observe(model, crossing.batch, Reader(readings, design, crossing, layers, pairs=pairs), layers=layers)
        readings.sentences += len(crossing.terms)
        readings.tokens += int(crossing.batch.tokens.sum())
        advance(1)
    unread = np.isnan(readings.values["received"]).all((0, 1))
    for total in readings.totals.values():
        total[unread] = np.nan
    return readings


class Reader:
    """Reads each layer of some sentences, as a receiver does."""

    def __init__(
        self,
        into: Readings,
        design: Design,
        crossing: Crossing,
        layers: Sequence[LayerCoverage],
        *,
        pairs: Sequence[tuple[int, int]] = (),
    ) -> None:
        """`pairs` are the rows of which the divergence is taken."""
        self._into, self._crossing, self._layers = into, crossing, layers
        self._templates, self._terms = placed(crossing, design)
        self._starts = np.cumsum([0, *(layer.heads for layer in layers)])
        self._pairs = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
        self._where = self._terms[self._pairs.numpy()]
        self._counted: set[str] = set()

    def on_attention(self, observation: AttentionObservation) -> None:
        """One layer."""
        if not _over_words(observation, self._layers, self._crossing):
            return
        words = words_of(observation, self._crossing)
        cells = np.arange(self._starts[observation.layer], self._starts[observation.layer + 1])
        rows = (self._templates[:, None], self._terms[:, None], cells)
        for name, quantity in QUANTITIES.items():
            self._into.values[name][rows] = quantity.read(words).numpy()
        for name, each in DIVERGENCES.items() if self._where.size else ():
            found = each.compare(words, *self._pairs).double().numpy().T
            known = np.isfinite(found).all(0)  # too few rows to compare, in all heads or in none
            for one, two in (self._where[:, known], self._where[::-1, known]):
                np.add.at(self._into.totals[name], (cells[:, None], one, two), found[:, known])
                if name not in self._counted:
                    np.add.at(self._into.counts[name], (one, two), 1)
            self._counted.add(name)


def _over_words(seen: AttentionObservation, layers: Sequence[LayerCoverage], crossing: Crossing) -> bool:
    """Whether rows and keys are the tokens of the sentence; a decoder that writes it again is one token behind."""
    behind = layers[seen.layer].stack == "decoder" and any(layer.stack == "encoder" for layer in layers)
    length = crossing.words.shape[1]
    return seen.kind == "self" and seen.pattern.shape[-2:] == (length, length) and not behind


def _compared(templates: Sequence[int], seed: int) -> list[tuple[int, int]]:
    """Rows to compare with each other, of one template each."""
    chosen = []
    for template in dict.fromkeys(templates):
        rows = [row for row, of in enumerate(templates) if of == template]
        pairs = list(combinations(rows, 2))
        if len(pairs) > MOST_PAIRS:
            picked = np.random.default_rng((seed, template)).choice(len(pairs), MOST_PAIRS, replace=False)
            pairs = [pairs[index] for index in sorted(picked)]
        chosen += pairs
    return chosen
