"""How a text is written in tokens, and with which of them a span of its characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from audit.models.loading import LoadedModel
from audit.models.positions import usable_positions
from audit.probes.framing import Frame, encode, plain_frame
from audit.probes.published.items import Span


class Covered(NamedTuple):
    """A text as it is fed, and the positions of the tokens of each span."""

    ids: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """The tokenizer of a checkpoint, and how much of its output the model takes."""

    tokenizer: PreTrainedTokenizerBase
    frame: Frame  # what it puts around a text
    longest: int | None  # in tokens; None without a limit

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of `text` alone."""
        return tuple(encode(self.tokenizer, text))

    def framed(self, ids: Sequence[int]) -> tuple[int, ...]:
        """`ids` with what the tokenizer puts around them."""
        return (*self.frame.before, *ids, *self.frame.after)

    def fits(self, ids: Sequence[int]) -> bool:
        """Whether the model has positions for them."""
        return self.longest is None or len(ids) <= self.longest

    def covering(self, text: str, spans: Sequence[Span]) -> Covered:
        """`text` in its frame, and where each of `spans` stands in it.

        A token belongs to the span of its last character: many vocabularies put the space before a word into its first
        piece.
        """
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        lead = len(self.frame.before)
        last = [end - 1 for _, end in encoded["offset_mapping"]]
        places = tuple(
            tuple(lead + number for number, at in enumerate(last) if start <= at < end)
            for start, end in spans
        )
        return Covered(self.framed(encoded["input_ids"]), places)


def spelling(loaded: LoadedModel) -> Spelling | str:
    """How `loaded` is fed text, or why it cannot be."""
    tokenizer = loaded.tokenizer
    if tokenizer is None:
        return "the checkpoint has no tokenizer"
    if not getattr(tokenizer, "is_fast", False):
        return "the tokenizer does not say which characters a token stands for"
    return Spelling(tokenizer=tokenizer, frame=plain_frame(tokenizer), longest=usable_positions(loaded.model))
