"""What is read off a model sample by sample, and what every measure of an effect must be able to say about it."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from audit.identity import digest_of
from audit.models.inputs import Fed as Inputs
from audit.observations import Batch

Array = NDArray[np.float64]


class Fed(Protocol):
    """Texts cut into batches, such as a probe's feed."""

    @property
    def name(self) -> str:
        """Of the probe."""

    @property
    def batches(self) -> tuple[Batch, ...]:
        """The samples."""


class Question(NamedTuple):
    """The inputs of a pass, and how its output is read: a number or a vector per sample."""

    fed: Inputs
    read: Callable[[Any], Array]  # float64 [batch] or [batch, width]


class Samples(NamedTuple):
    """What was read of the unchanged model, and of which texts."""

    clean: Array  # [sample] or [sample, width]
    documents: tuple[str, ...]  # of each sample; unique over all probes
    probes: tuple[str, ...]  # of each sample

    def of(self, probe: str) -> NDArray[np.bool_]:
        """Which samples are of that probe."""
        return np.array([name == probe for name in self.probes])

    def only(self, probe: str) -> "Samples":
        """The samples of one probe."""
        chosen = self.of(probe)
        kept = [document for document, mine in zip(self.documents, chosen, strict=True) if mine]
        return Samples(self.clean[chosen], tuple(kept), (probe,) * len(kept))


class Objective(Protocol):
    """A measure of what it costs to change a model."""

    @property
    def name(self) -> str:
        """What is measured, in words."""

    @property
    def unit(self) -> str:
        """Of an effect."""

    def ask(self, batch: Batch) -> Question:
        """What to feed, and what to read."""

    def level(self, samples: Samples) -> float:
        """The unchanged model's loss, or the spread its effects are measured in."""

    def unusable(self, samples: Samples) -> str | None:
        """Why nothing can be claimed of this model, or None."""

    def margin(self, samples: Samples) -> float:
        """The largest harmless effect."""

    def changes(self, samples: Samples, changed: Array) -> Array:
        """The change on each document, [document], of which the mean is tested; larger is worse.

        `changed` is what was read of the changed model, as `samples.clean`.
        """

    def as_change(self, effect: float) -> float:
        """An effect as `changes` counts it."""

    def as_effect(self, change: float) -> float:
        """A mean of `changes` as an effect."""


def fingerprint(batches: Sequence[Batch]) -> str:
    """What tells these samples from others, fed in this order."""
    state = hashlib.sha256()
    for batch in batches:
        state.update(digest_of([batch.samples, batch.documents, list(batch.input_ids.shape)]).encode())
        for tensor in (batch.input_ids, batch.tokens, batch.special):
            state.update(tensor.numpy().tobytes())
    return state.hexdigest()


def rows_of(documents: Sequence[str]) -> dict[str, int]:
    """Row of each document, in order of first appearance."""
    return {name: row for row, name in enumerate(dict.fromkeys(documents))}
