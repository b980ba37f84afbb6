"""What taking something out does to an encoder without a head: how far its texts move among each other."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from audit.interventions.readings import Array, Question, Samples, rows_of
from audit.models.inputs import model_inputs, padded_behind
from audit.observations import Batch

MARGIN = 0.05  # of the spread of the cosines
FEWEST = 3  # documents: with fewer, none can be left out and pairs be left


@dataclass(frozen=True, slots=True)
class Representation:
    """RMS change of the pairwise cosines of the mean-pooled outputs, divided by their standard deviation.

    Pairs are texts of one probe and of different documents. What is averaged over documents and tested is the square,
    by its jackknife pseudo-values, because each document takes part in many pairs.
    """

    name: ClassVar[str] = "change of the pairwise cosines of the pooled outputs"
    unit: ClassVar[str] = "of the cosines' standard deviation"
    model: Any

    def ask(self, batch: Batch) -> Question:
        """The output of the last layer, averaged over the tokens of each sample."""
        tokens = padded_behind(batch).tokens
        return Question(model_inputs(self.model, batch), lambda output: _pooled(output, tokens))

    def level(self, samples: Samples) -> float:
        """Standard deviation of the unchanged cosines around their mean in each probe."""
        pairs = _pairs(samples)
        deviations = _deviations(_cosines(samples.clean), pairs, samples)
        return float(np.sqrt(np.square(deviations[pairs]).mean()))

    def unusable(self, samples: Samples) -> str | None:
        """Outputs that are not finite, or all alike, say nothing."""
        if not np.isfinite(samples.clean).all():
            return "the pooled outputs of the unchanged model are not finite"
        if len(rows_of(samples.documents)) < FEWEST or not _pairs(samples).any():
            return "there are too few documents to compare texts with one another"
        if self.level(samples) < np.finfo(np.float32).eps:
            return "the pooled outputs of the unchanged model are the same for all texts"
        return None

    def margin(self, _samples: Samples) -> float:
        """5% of the spread."""
        return MARGIN

    def changes(self, samples: Samples, changed: Array) -> Array:
        """Jackknife pseudo-values of the squared effect, [document]."""
        pairs = _pairs(samples)
        before = _cosines(samples.clean)
        moved = np.square(_cosines(changed) - before)
        spread = np.square(_deviations(before, pairs, samples))
        sums = np.stack([np.where(pairs, squares, 0.0).sum(1) for squares in (moved, spread)])
        rows = rows_of(samples.documents)
        mine = np.zeros((2, len(rows)))
        np.add.at(mine.T, [rows[name] for name in samples.documents], sums.T)
        whole = sums.sum(1)
        without = whole[:, None] - 2 * mine  # each pair of a document stands in its rows and in its columns
        count = len(rows)
        values: Array = count * whole[0] / whole[1] - (count - 1) * without[0] / without[1]
        return values

    def as_change(self, effect: float) -> float:
        """Its square."""
        return effect**2

    def as_effect(self, change: float) -> float:
        """Its root, with its sign."""
        return float(np.sign(change) * np.sqrt(abs(change)))


def _pooled(output: Any, tokens: Tensor) -> Array:
    """Mean of the last hidden states over the tokens of each sample, [batch, width]."""
    hidden = output[0].double()
    weights = tokens.to(hidden)[..., None]
    pooled = (hidden * weights).sum(1) / weights.sum(1)
    found: Array = pooled.cpu().numpy()
    return found


def _pairs(samples: Samples) -> NDArray[np.bool_]:
    """Which pairs count, [sample, sample]: one probe, two documents."""
    probes, documents = np.array(samples.probes), np.array(samples.documents)
    found: NDArray[np.bool_] = (probes[:, None] == probes) & (documents[:, None] != documents)
    return found


def _cosines(vectors: Array) -> Array:
    """Cosine of every pair, [sample, sample]; 0 with a vector that is zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    cosines: Array = units @ units.T
    return cosines


def _deviations(cosines: Array, pairs: NDArray[np.bool_], samples: Samples) -> Array:
    """The cosines less their mean over the pairs of their probe."""
    deviations = cosines.copy()
    for probe in dict.fromkeys(samples.probes):
        mine = pairs & samples.of(probe)[:, None]
        if mine.any():
            deviations[mine] -= cosines[mine].mean()
    return deviations
