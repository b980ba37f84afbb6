"""Opens a probe's documents as streams of windows, in the seeded order in which they are drawn from."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from audit.definitions import Document
from audit.errors import UnusableInput
from audit.probes.framing import FIXED_DAY, chat_frame, plain_frame, template_reads_clock
from audit.probes.windows import Window, random_windows, text_windows

SHORTEST = 16  # tokens: below it a window says little about attention over distance


class Source(NamedTuple):
    """Streams of windows and what holds for all of them."""

    streams: list[Iterator[Window]]  # one per document
    shortest: int  # fewest tokens of its own that a window must have
    special_ids: frozenset[int]  # ids that are no text where they occur
    remark: str | None


def text_source(
    documents: Sequence[Document],
    *,
    tokenizer: PreTrainedTokenizerBase,
    special_ids: Collection[int],
    length: int,
    chat: bool,
    entropy: Sequence[int],
) -> Source:
    """Streams of windows of at most `length` tokens, with what the tokenizer or its chat template adds.

    Documents of the same id are passages of one document and share its stream. In a chat every window is one user
    message. A window shorter than 16 tokens is passed over; in a chat the template's tokens do not count.

    Raises:
        UnusableInput: `length` leaves no room for text, or the tokenizer or its template cannot be used.
    """
    frame = chat_frame(tokenizer) if chat else plain_frame(tokenizer)
    shortest = SHORTEST if chat else max(1, SHORTEST - frame.size)
    room = length - frame.size
    if room < shortest:
        raise UnusableInput(
            f"windows of {length} tokens are too short: {frame.size} of them are added by the "
            f"{'chat template' if chat else 'tokenizer'}; it takes {frame.size + shortest}, of --max-length and of the "
            "model's positions"
        )
    passages: dict[str, list[str]] = {}
    for document in documents:
        passages.setdefault(document.id, []).append(document.text or "")
    names = list(passages)
    added = frozenset() if chat else frozenset(frame.before + frame.after)
    return Source(
        streams=[
            text_windows(names[index], passages[names[index]], tokenizer=tokenizer, frame=frame, room=room)
            for index in _order(len(names), entropy)
        ],
        shortest=shortest,
        special_ids=added | _reserved(tokenizer, special_ids),
        remark=_chat_remark(tokenizer, frame.size) if chat else None,
    )


def random_source(
    documents: Sequence[Document],
    *,
    vocab_size: int,
    special_ids: Collection[int],
    length: int,
    entropy: Sequence[int],
) -> Source:
    """Endless streams of windows of exactly `length` ids below `vocab_size`, special ones left out.

    Raises:
        UnusableInput: `length` is below 16, or the vocabulary has nothing but special tokens.
    """
    if length < SHORTEST:
        raise UnusableInput(
            f"windows of {length} tokens are too short; it takes {SHORTEST}, of --max-length and of the model's positions"
        )
    vocabulary = np.setdiff1d(np.arange(vocab_size), np.array(sorted(special_ids), dtype=np.int64))
    if not len(vocabulary):
        raise UnusableInput(f"a vocabulary of {vocab_size} ids, all of them special, leaves nothing to draw")
    return Source(
        streams=[
            random_windows(documents[index].id, vocabulary=vocabulary, length=length, seed=(*entropy, index))
            for index in _order(len(documents), entropy)
        ],
        shortest=SHORTEST,
        special_ids=frozenset(special_ids),
        remark=None,
    )


def _order(count: int, entropy: Sequence[int]) -> list[int]:
    order: list[int] = np.random.default_rng(entropy).permutation(count).tolist()
    return order


def _reserved(tokenizer: PreTrainedTokenizerBase, special_ids: Collection[int]) -> frozenset[int]:
    """The special ids but for 'unknown', which stands for a piece of the text, unless it serves twice."""
    serving = (
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
        tokenizer.pad_token_id,
    )
    unknown = tokenizer.unk_token_id
    return frozenset(special_ids) - (frozenset() if unknown in serving else {unknown})


def _chat_remark(tokenizer: PreTrainedTokenizerBase, added: int) -> str:
    day = f", its date held at {FIXED_DAY}" if template_reads_clock(tokenizer) else ""
    return f"each window is one user message in the tokenizer's chat template ({added} tokens added{day})"
