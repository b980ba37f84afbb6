"""Terms crossed with templates: sentences in which every token knows which word it is a piece of."""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from audit.definitions import SLOT, Axis
from audit.observations import Batch
from audit.probes.batching import batches
from audit.probes.framing import Frame
from audit.probes.windows import Window

ROWS = 128  # sentences fed at once, unless one template has more
MARKED = re.compile(r"\*(.+?)\*")


class Sentence(NamedTuple):
    """A template with a term in it, and where term and attribute stand, in characters; None without an attribute."""

    text: str
    term: tuple[int, int]
    attribute: tuple[int, int] | None


class Tokens(NamedTuple):
    """A sentence as it is fed: ids, and the number of the word that each id is a piece of."""

    ids: tuple[int, ...]
    words: tuple[int, ...]
    term: int  # which word
    attribute: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Whole templates with the terms that stand in them: rows of one template differ in one word, aligned by words."""

    templates: tuple[int, ...]  # of each row
    terms: tuple[int, ...]  # of each row
    batch: Batch
    words: Tensor  # int64 [batch, token], -1 on padding; words are numbered alike in every row of a template
    count: int  # words of the longest row, those of the frame included
    term: Tensor  # int64 [batch], which word
    attribute: Tensor  # int64 [batch], -1 where there is none
    ordinary: Tensor  # bool [batch, word], False on what the tokenizer adds and behind the last word


def sentence(template: str, phrase: str, term: str) -> Sentence:
    """`template` with `term` in it, its first letter a capital one."""
    before, _, after = template.partition(SLOT)
    lead, _, tail = phrase.partition("{}")
    if not before.strip("* "):
        lead, term = (lead[:1].upper() + lead[1:], term) if lead else (lead, term[:1].upper() + term[1:])
    start = len(before.replace("*", "")) + len(lead)
    text = f"{before}{lead}{term}{tail}{after}"
    marked = MARKED.search(text)
    span = None
    if marked:
        text = text.replace("*", "")
        span = (marked.start(), marked.end() - 2)
    return Sentence(text, (start, start + len(term)), span)


def tokens(said: Sentence, tokenizer: PreTrainedTokenizerBase, frame: Frame) -> Tokens | None:
    """`said` as it is fed; None where the term has no token of its own.

    Words end at white space, and where term and attribute begin and end. A token belongs to the word of its last
    character: many vocabularies put the space before a word into its first piece.
    """
    cuts = _cuts(said)
    encoded = tokenizer(said.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    words = [bisect_right(cuts, max(end - 1, 0)) - 1 for _, end in encoded["offset_mapping"]]
    term, attribute = (None if span is None else cuts.index(span[0]) for span in (said.term, said.attribute))
    if term not in words or (attribute is not None and attribute not in words):
        return None
    lead, tail = len(frame.before), len(frame.after)
    numbered = [
        *range(lead),
        *(word + lead for word in words),
        *range(lead + len(cuts), lead + len(cuts) + tail),
    ]
    return Tokens(
        ids=(*frame.before, *encoded["input_ids"], *frame.after),
        words=tuple(numbered),
        term=cuts.index(said.term[0]) + lead,
        attribute=None if attribute is None else attribute + lead,
    )


def words_of_text(said: Sentence) -> tuple[str, ...]:
    """The words of `said` as `tokens` numbers them, without those of the frame."""
    cuts = _cuts(said)
    return tuple(said.text[a:b].strip() for a, b in zip(cuts, [*cuts[1:], None], strict=True))


def _cuts(said: Sentence) -> list[int]:
    """Where words begin, in characters."""
    starts = {match.start() for match in re.finditer(r"\S+", said.text)}
    for span in (said.term, said.attribute):
        starts |= {span[0], span[1]} if span and span[1] < len(said.text) else {span[0]} if span else set()
    return sorted(start for start in starts if not said.text[start].isspace())


def crossings(
    axis: Axis,
    cells: Collection[tuple[int, int]],
    *,
    tokenizer: PreTrainedTokenizerBase,
    frame: Frame,
    pad_id: int,
    special_ids: Collection[int],
) -> Iterator[Crossing]:
    """The sentences of `cells` (template, term), some whole templates at a time.

    A term without a token of its own in a template is left out there, a template with fewer than two terms altogether.
    """
    every = (*axis.terms[0], *axis.terms[1])
    rows: list[_Row] = []
    for template in sorted({template for template, _ in cells}):
        said = [
            _Row(template, term, found)
            for term in sorted(term for where, term in cells if where == template)
            if (
                found := tokens(
                    sentence(axis.templates[template], axis.phrase, every[term]), tokenizer, frame
                )
            )
        ]
        if rows and len(rows) + len(said) > ROWS:
            yield _crossing(rows, frame, pad_id, special_ids)
            rows = []
        rows += said if len(said) > 1 else []
    if rows:
        yield _crossing(rows, frame, pad_id, special_ids)


class _Row(NamedTuple):
    template: int
    term: int
    tokens: Tokens


def _crossing(rows: Sequence[_Row], frame: Frame, pad_id: int, special_ids: Collection[int]) -> Crossing:
    windows = [Window(str(row.term), row.tokens.ids, row.tokens.ids) for row in rows]
    batch = next(batches(windows, size=len(windows), pad_id=pad_id, special_ids=special_ids))
    words = torch.full_like(batch.input_ids, -1)
    for number, row in enumerate(rows):
        words[number, : len(row.tokens.words)] = torch.tensor(row.tokens.words)
    last = words.amax(1)
    places = torch.arange(int(last.max()) + 1)
    ordinary = (places >= len(frame.before)) & (places <= last[:, None] - len(frame.after))
    return Crossing(
        templates=tuple(row.template for row in rows),
        terms=tuple(row.term for row in rows),
        batch=batch,
        words=words,
        count=len(places),
        term=torch.tensor([row.tokens.term for row in rows]),
        attribute=torch.tensor(
            [-1 if row.tokens.attribute is None else row.tokens.attribute for row in rows]
        ),
        ordinary=ordinary,
    )
