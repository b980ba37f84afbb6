"""What every axis is measured on: a model, what of it is observed, and how its sentences are written."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from audit.definitions import Axis
from audit.errors import UnusableInput
from audit.models.loading import LoadedModel
from audit.models.positions import usable_positions
from audit.probes.framing import plain_frame
from audit.probes.sentences import Crossing, crossings
from audit.results import Plan
from audit.results.subject import LayerCoverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The model and the plan; `layers` is `coverage.layers`."""

    loaded: LoadedModel
    layers: Sequence[LayerCoverage]
    plan: Plan
    shown: bool  # whether terms may be named

    def sentences(self, axis: Axis, cells: Collection[tuple[int, int]]) -> Iterator[Crossing]:
        """The sentences of `cells` (template, term), written anew each time: none is held.

        Raises UnusableInput for one that is longer than the model reads.
        """
        tokenizer: Any = self.loaded.tokenizer
        pad = tokenizer.pad_token_id
        limit = usable_positions(self.loaded.model)
        for crossing in crossings(
            axis,
            cells,
            tokenizer=tokenizer,
            frame=plain_frame(tokenizer),
            pad_id=0 if pad is None else pad,
            special_ids=tokenizer.all_special_ids,
        ):
            length = crossing.batch.tokens.shape[1]
            if limit and length > limit:
                raise UnusableInput(
                    f"a sentence of the axis {axis.name!r} takes {length:,} tokens and the model has {limit:,} positions: "
                    "shorten its template"
                )
            yield crossing
