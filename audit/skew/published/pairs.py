"""Which of two sentences a model finds likelier, pair by pair.

A masked model is asked for the tokens that both sentences of CrowS-Pairs share, each masked by itself; where the two
differ in a pronoun, for that. A causal model cannot be asked so: it gives the log probability of each whole sentence,
behind the token that a text begins with.

Source: Nangia et al. 2020, section 4 (masked); Salazar et al. 2020, Masked language model scoring.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from audit.probes.published.items import Kind, Pair, Told
from audit.skew.published.speaking import Ask, Speaker

TOGETHER = 32  # pairs asked at once
TOO_LONG = "longer than the model has positions for"
NOTHING_SHARED = "pairs that share no token which could be masked"
UNWRITTEN = "pronouns without a token of their own"


class Weighed(NamedTuple):
    """A pair and the log probabilities of its sentences, nats."""

    pair: Pair
    more: float
    less: float


class Weighing(NamedTuple):
    """All pairs that could be scored, what could not, and how well the model predicts."""

    pairs: tuple[Weighed, ...]
    unscored: Counter[str]
    loss: float  # nats per token asked for; NaN where none was


def weigh(
    speaker: Speaker, pairs: Sequence[Pair], kind: Kind, *, advance: Callable[[int], None] = lambda _: None
) -> Weighing:
    """Both sentences of every pair.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    weighed: list[Weighed] = []
    unscored: Counter[str] = Counter()
    total, count = 0.0, 0
    for start in range(0, len(pairs), TOGETHER):
        some = pairs[start : start + TOGETHER]
        asked = [(pair, asks_of(speaker, pair, kind)) for pair in some]
        unscored.update(asks for _, asks in asked if isinstance(asks, str))
        usable = [(pair, asks) for pair, asks in asked if not isinstance(asks, str)]
        answers = iter(speaker.answer([ask for _, both in usable for asks in both for ask in asks]))
        for pair, both in usable:
            more, less = (sum(float(next(answers).sum()) for _ in asks) for asks in both)
            weighed.append(Weighed(pair, more, less))
            total -= more + less
            count += sum(len(ask.places) for asks in both for ask in asks)
        advance(len(some))
    return Weighing(tuple(weighed), unscored, total / count if count else float("nan"))


def asks_of(speaker: Speaker, pair: Pair, kind: Kind) -> tuple[list[Ask], list[Ask]] | str:
    """What is asked of the more and of the less stereotypical sentence, or why nothing can be."""
    told = (pair.more, pair.less)
    if speaker.causal:
        found = [[whole(speaker, each.text)] for each in told]
    elif kind == "crows_pairs":
        found = _shared(speaker, *told)
    else:
        found = [hidden_pronouns(speaker, each) for each in told]
    if not all(found):
        return NOTHING_SHARED if kind == "crows_pairs" else UNWRITTEN
    return (found[0], found[1]) if _all_fit(speaker, (*found[0], *found[1])) else TOO_LONG


def _all_fit(speaker: Speaker, asks: Iterable[Ask]) -> bool:
    return all(speaker.fits(ask) for ask in asks)


def whole(speaker: Speaker, text: str) -> Ask:
    """Every token of `text`, each behind those before it."""
    own = speaker.spelling.encode(text)
    first = len(speaker.start) - 1
    return Ask((*speaker.start, *own), tuple(range(first, first + len(own))), own)


def _shared(speaker: Speaker, more: Told, less: Told) -> list[list[Ask]]:
    """The tokens of the unchanged spans, masked one at a time; what the tokenizer adds is never masked."""
    before, after = speaker.spelling.frame
    ids = [speaker.spelling.framed(speaker.spelling.encode(told.text)) for told in (more, less)]
    blocks = SequenceMatcher(None, [str(i) for i in ids[0]], [str(i) for i in ids[1]]).get_matching_blocks()
    places = [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]
    inner = [range(len(before), len(each) - len(after)) for each in ids]
    kept = [pair for pair in places if pair[0] in inner[0] and pair[1] in inner[1]]
    return [[_hidden(speaker, each, (pair[side],)) for pair in kept] for side, each in enumerate(ids)]


def hidden_pronouns(speaker: Speaker, told: Told) -> list[Ask]:
    """The pronouns of a sentence, all masked at once; nothing where one has no token of its own."""
    ids, pieces = speaker.spelling.covering(told.text, told.pronouns)
    if not pieces or not all(pieces):
        return []
    return [_hidden(speaker, ids, tuple(place for found in pieces for place in found))]


def _hidden(speaker: Speaker, ids: tuple[int, ...], places: tuple[int, ...]) -> Ask:
    masked = tuple(speaker.mask if place in places else each for place, each in enumerate(ids))
    return Ask(masked, places, tuple(ids[place] for place in places))
