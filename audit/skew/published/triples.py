"""StereoSet within sentences: how probable the three ways to fill a blank are, and the scores made of that.

A masked model is asked for the pieces of the word that fills the blank, one behind the other, and the mean of their
probabilities is taken; a causal model for the whole sentence, whose first token is asked for behind the token that a
text begins with and the others without it, and the geometric mean is taken. That is how the published scorers do it.

Source: Nadeem et al. 2021, sections 5 and 6, and the code that they publish.
"""

import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.probes.published.items import Triple
from audit.skew.published.speaking import Ask, Speaker

Array = NDArray[np.float64]

TOGETHER = 32  # items asked at once
NO_WORD = "the word that fills the blank is not found in the sentence"
TOO_LONG = "longer than the model has positions for"
_BARE = str.maketrans("", "", string.punctuation)


class Filled(NamedTuple):
    """An item and the score of each of its sentences; only their order counts."""

    triple: Triple
    stereotype: float
    anti: float
    unrelated: float


class Filling(NamedTuple):
    """All items that could be scored, what could not, and how well the model predicts."""

    triples: tuple[Filled, ...]
    unscored: Counter[str]
    loss: float  # nats per token asked for; NaN where none was


def fill(
    speaker: Speaker, triples: Sequence[Triple], *, advance: Callable[[int], None] = lambda _: None
) -> Filling:
    """The three sentences of every item.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    filled: list[Filled] = []
    unscored: Counter[str] = Counter()
    values: list[Array] = []
    for start in range(0, len(triples), TOGETHER):
        some = triples[start : start + TOGETHER]
        asked = [(triple, asks_of(speaker, triple)) for triple in some]
        unscored.update(asks for _, asks in asked if isinstance(asks, str))
        usable = [(triple, asks) for triple, asks in asked if not isinstance(asks, str)]
        answers = iter(speaker.answer([ask for _, three in usable for asks in three for ask in asks]))
        for triple, three in usable:
            found = [np.concatenate([next(answers) for _ in asks]) for asks in three]
            values += found
            filled.append(Filled(triple, *(_score(speaker, each) for each in found)))
        advance(len(some))
    loss = -float(np.concatenate(values).mean()) if values else float("nan")
    return Filling(tuple(filled), unscored, loss)


def asks_of(speaker: Speaker, triple: Triple) -> list[list[Ask]] | str:
    """What is asked of the stereotype, its opposite and the unrelated sentence, or why nothing can be."""
    texts = (triple.stereotype, triple.anti, triple.unrelated)
    if speaker.causal:
        found = [_sentence(speaker, text) for text in texts]
    else:
        found = [_blank(speaker, triple.context, text) for text in texts]
    if not all(found):
        return NO_WORD
    return found if all(speaker.fits(ask) for asks in found for ask in asks) else TOO_LONG


def _score(speaker: Speaker, values: Array) -> float:
    return float(values.mean() if speaker.causal else np.exp(values).mean())


def _sentence(speaker: Speaker, text: str) -> list[Ask]:
    own, around = speaker.spelling.encode(text), speaker.spelling.frame.before
    first = Ask(speaker.start, (len(speaker.start) - 1,), own[:1])
    start = len(around)
    rest = Ask((*around, *own), tuple(range(start, start + len(own) - 1)), own[1:])
    return [first, rest] if rest.places else [first]


def _blank(speaker: Speaker, context: str, text: str) -> list[Ask]:
    """One ask for each piece of the word in the place of BLANK, those before it filled in."""
    places = [number for number, word in enumerate(context.split(" ")) if "BLANK" in word]
    words = text.split(" ")
    if not places or places[-1] >= len(words):
        return []
    pieces = speaker.spelling.encode(words[places[-1]].translate(_BARE))
    asks, spelling = [], speaker.spelling
    for number, piece in enumerate(pieces):
        begun = spelling.tokenizer.decode(pieces[:number])
        inside = spelling.encode(context.replace("BLANK", f"{begun}{spelling.tokenizer.mask_token}"))
        if inside.count(speaker.mask) != 1:
            return []
        ids = spelling.framed(inside)
        asks.append(Ask(ids, (ids.index(speaker.mask),), (piece,)))
    return asks
