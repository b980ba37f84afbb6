"""Which terms of two groups a tokenizer treats alike: as many word pieces, and as frequent as can be had."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from audit.definitions import Axis
from audit.probes.framing import encode

BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # how vocabularies with byte fallback write a byte
PART = "\ufffd"  # what bytes are read as that are no whole letter


class Pieces(NamedTuple):
    """How a tokenizer writes a term, at the start of a sentence and inside it."""

    counts: tuple[int, int]
    rank: float  # mean log of the ids inside a sentence: vocabularies are written by falling frequency


class Matched(NamedTuple):
    """Pairs of indices into the two groups, the closest in rank first, and what was left out."""

    pairs: tuple[tuple[int, int], ...]
    unknown: tuple[str, ...]  # terms the tokenizer has no pieces for
    unmatched: tuple[str, ...]  # terms without a counterpart of as many pieces
    imbalance: float  # difference of the groups' mean rank in standard deviations; 0 where there are no pairs


def match(axis: Axis, tokenizer: PreTrainedTokenizerBase) -> Matched:
    """The largest set of pairs with equal numbers of pieces, chosen for the smallest summed difference in rank.

    Token rank stands for frequency: byte-pair and word-piece vocabularies list frequent pieces first.
    """
    terms, lead = axis.terms, axis.phrase.partition("{}")[0]
    first, second = ([pieces_of(term, tokenizer, lead=lead) for term in group] for group in terms)
    pairs: list[tuple[int, int]] = []
    for counts in sorted({each.counts for each in first if each}):
        one, two = (
            [i for i, each in enumerate(group) if each and each.counts == counts] for group in (first, second)
        )
        pairs += _closest(one, two, _ranks(first), _ranks(second))
    pairs.sort(key=lambda pair: (abs(_ranks(first)[pair[0]] - _ranks(second)[pair[1]]), pair))
    taken = ({one for one, _ in pairs}, {two for _, two in pairs})
    both = list(zip(terms, (first, second), taken, strict=True))
    return Matched(
        pairs=tuple(pairs),
        unknown=tuple(
            t for group, found, _ in both for t, each in zip(group, found, strict=True) if each is None
        ),
        unmatched=tuple(
            term
            for group, found, used in both
            for index, (term, each) in enumerate(zip(group, found, strict=True))
            if each is not None and index not in used
        ),
        imbalance=_imbalance(
            *([_ranks(g)[pair[side]] for pair in pairs] for side, g in enumerate((first, second)))
        ),
    )


def pieces_of(term: str, tokenizer: PreTrainedTokenizerBase, *, lead: str = "") -> Pieces | None:
    """How `term` is written behind `lead`; None where the tokenizer does not know it."""
    before = f"and {lead}".rstrip()
    inside = encode(tokenizer, f"{before} {term}")[len(encode(tokenizer, before)) :]
    start = inside if lead else encode(tokenizer, term)
    if not inside or not start or any(_unknown(token, tokenizer) for token in {*inside, *start}):
        return None
    return Pieces((len(start), len(inside)), float(np.log1p(inside).mean()))


def _unknown(token: int, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a token says only that the vocabulary has none: the unknown token, or bytes that are no whole letter."""
    if token == tokenizer.unk_token_id or BYTE.fullmatch(str(tokenizer.convert_ids_to_tokens(token))):
        return True
    return PART in str(tokenizer.decode([token]))


def _ranks(group: Sequence[Pieces | None]) -> list[float]:
    return [each.rank if each else float("nan") for each in group]


def _closest(
    one: list[int], two: list[int], first: Sequence[float], second: Sequence[float]
) -> list[tuple[int, int]]:
    """All of the smaller group paired in order of rank, those of the larger left out that cost most."""
    if len(one) > len(two):
        return [(a, b) for b, a in _closest(two, one, second, first)]
    one, two = sorted(one, key=lambda i: first[i]), sorted(two, key=lambda i: second[i])
    cost = np.full((len(one) + 1, len(two) + 1), np.inf)
    cost[0] = 0.0
    for a in range(1, len(one) + 1):
        for b in range(a, len(two) + 1):
            cost[a, b] = min(cost[a, b - 1], cost[a - 1, b - 1] + abs(first[one[a - 1]] - second[two[b - 1]]))
    return _traced(one, two, cost)


def _traced(one: list[int], two: list[int], cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    a, b = len(one), len(two)
    pairs = []
    while a:
        if b > a and cost[a, b] == cost[a, b - 1]:
            b -= 1
        else:
            pairs.append((one[a - 1], two[b - 1]))
            a, b = a - 1, b - 1
    return pairs


def _imbalance(one: list[float], two: list[float]) -> float:
    spread = float(np.std(one + two)) if one else 0.0
    return (float(np.mean(one)) - float(np.mean(two))) / spread if spread else 0.0
