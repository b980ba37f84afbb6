"""Parts of a probe by document: two halves, or its beginning."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from audit.interventions.readings import Fed
from audit.models.inputs import padded_behind
from audit.observations import Batch


@dataclass(frozen=True, slots=True)
class Half:
    """Half of a probe, fed as the whole was."""

    name: str
    batches: tuple[Batch, ...]

    @property
    def samples(self) -> tuple[int, ...]:
        """The numbers its samples have in the whole."""
        return tuple(sample for batch in self.batches for sample in batch.samples)


class Halves(NamedTuple):
    """No document stands in both."""

    detection: Half
    confirmation: Half


def halves(fed: Fed) -> Halves:
    """Every other document of a probe, with all its windows, and the rest; batches are as large as they were."""
    names = dict.fromkeys(name for batch in fed.batches for name in batch.documents)
    first = {name for place, name in enumerate(names) if place % 2 == 0}
    return Halves(
        detection=regrouped(fed, lambda document: document in first),
        confirmation=regrouped(fed, lambda document: document not in first),
    )


def first(fed: Fed, documents: int | None) -> Fed:
    """The samples of the first so many documents of a probe; of all, where None."""
    if documents is None:
        return fed
    names = dict.fromkeys(name for batch in fed.batches for name in batch.documents)
    kept = set(list(names)[:documents])
    return regrouped(fed, lambda document: document in kept)


def regrouped(fed: Fed, wanted: Callable[[str], bool]) -> Half:
    """The samples whose document is wanted, in batches as large as they were."""
    size = max((len(batch.samples) for batch in fed.batches), default=1)
    rows = [
        batch.only(row, batch.input_ids.shape[1])
        for batch in fed.batches
        for row, document in enumerate(batch.documents)
        if wanted(document)
    ]
    return Half(fed.name, tuple(_batches(rows, size)))


def _batches(rows: Sequence[Batch], size: int) -> Iterator[Batch]:
    for start in range(0, len(rows), size):
        part = [padded_behind(row) for row in rows[start : start + size]]
        width = max(int(row.tokens.sum()) for row in part)
        yield Batch(
            input_ids=_stacked([row.input_ids for row in part], width),
            tokens=_stacked([row.tokens for row in part], width),
            special=_stacked([row.special for row in part], width),
            samples=tuple(row.samples[0] for row in part),
            documents=tuple(row.documents[0] for row in part),
        )


def _stacked(rows: Sequence[Tensor], width: int) -> Tensor:
    """Rows [1, token] below one another, cut or filled to `width` with what padding holds."""
    filled = [torch.nn.functional.pad(row[:, :width], (0, max(0, width - row.shape[1]))) for row in rows]
    return torch.cat(filled)
