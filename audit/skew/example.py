"""One pair of sentences as one head sees it: as unlike each other as the groups are on the whole, not the most unlike."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from audit.models.observing import observe
from audit.numerics import rounded
from audit.observations import AttentionObservation
from audit.probes.sentences import Crossing, sentence, words_of_text
from audit.results.demographics import SkewedHead, SkewExample
from audit.skew.asking import counterparts, partners
from audit.skew.design import Design
from audit.skew.ground import Ground
from audit.skew.readings import Readings
from audit.skew.words import words_of

Array = NDArray[np.float64]


class Pair(NamedTuple):
    """Two sentences of one template, as indices into the axis, the first group's term first."""

    template: int
    terms: tuple[int, int]


def typical(readings: Readings, made: Design, name: str, cell: int) -> Pair | None:
    """The pair whose difference is the nearest to that of the groups; None where no pair stands in one template."""
    values = readings.values[name][..., cell].astype(np.float64)
    partner = partners(made)
    paired = made.first & (partner != np.arange(len(partner)))
    gaps = np.where(paired, values - values[:, partner], np.nan)
    if not np.isfinite(gaps).any():
        return None
    away = np.abs(gaps - np.nanmean(gaps))
    template, term = np.unravel_index(int(np.nanargmin(away)), away.shape)
    return Pair(made.templates[template], (made.chosen[term], made.chosen[partner[term]]))


def example(ground: Ground, made: Design, pair: Pair, head: SkewedHead) -> SkewExample | None:
    """What `head` does in both sentences of `pair`; None where their words do not line up."""
    for crossing in ground.sentences(made.axis, [(pair.template, term) for term in pair.terms]):
        if counterparts(crossing, made) == [1, 0]:
            seen = _Looking(crossing, head)
            observe(ground.loaded.model, crossing.batch, seen, layers=ground.layers)
            every = (*made.axis.terms[0], *made.axis.terms[1])
            one, two = (every[term] for term in pair.terms)
            said = sentence(made.axis.templates[pair.template], made.axis.phrase, one)
            words, start = words_of_text(said), int(crossing.ordinary[0].int().argmax())
            return SkewExample(
                quantity=head.quantity,
                layer=head.layer,
                head=head.head,
                terms=(one, two),
                words=tuple("" if start + at == crossing.term[0] else word for at, word in enumerate(words)),
                attention=(_row(seen.found[0], start, len(words)), _row(seen.found[1], start, len(words))),
            )
    return None


class _Looking:
    """Keeps what one head exchanges with the term, word by word."""

    def __init__(self, crossing: Crossing, head: SkewedHead) -> None:
        self.found = torch.full((2, crossing.count), torch.nan)
        self._crossing, self._head = crossing, head

    def on_attention(self, observation: AttentionObservation) -> None:
        """One layer."""
        if observation.layer != self._head.layer:
            return
        words = words_of(observation, self._crossing)
        pattern, visible = words.pattern[:, self._head.head], words.visible
        if self._head.quantity.startswith("given"):
            pattern, visible = pattern.mT, visible.mT
        for row, term in enumerate(words.term.tolist()):
            counts = words.others[row] & visible[row, :, term]
            self.found[row] = torch.where(counts, pattern[row, :, term], torch.nan)


def _row(found: torch.Tensor, start: int, count: int) -> tuple[float | None, ...]:
    return tuple(rounded(value, 3) for value in found[start : start + count].tolist())
