"""What a published data set of stereotypes holds, whichever it is: sentences to be held against each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Span = tuple[int, int]  # first character, and the one behind the last
Kind = Literal["crows_pairs", "stereoset", "winobias", "winogender"]
Gender = Literal["male", "female"]


class Mention(NamedTuple):
    """Where a sentence names an occupation."""

    term: str
    span: Span


class Told(NamedTuple):
    """A sentence; of one with a pronoun, where that and the occupations stand."""

    text: str
    pronouns: tuple[Span, ...] = ()
    mentions: tuple[Mention, ...] = ()


class Pair(NamedTuple):
    """Two sentences of which the first is the more stereotypical one."""

    group: str  # what is reported apart, e.g. a bias type
    cluster: str  # what the interval counts as one observation
    more: Told
    less: Told
    direction: str = ""  # of CrowS-Pairs: stereo or antistereo
    fits: Gender | None = None  # gender of the pronoun of `more`
    counted: bool = True  # False where neither sentence is a stereotype: only its attention is read


class Triple(NamedTuple):
    """One blank, filled in three ways."""

    group: str  # bias type
    target: str  # the group of people: the observation of the interval
    context: str  # with BLANK in it
    stereotype: str
    anti: str
    unrelated: str


class Choice(NamedTuple):
    """A beginning that ends in a pronoun, and two ways to go on, each about an occupation of one gender."""

    cluster: str
    before: str
    pronouns: tuple[str, str]  # female, male
    continuations: tuple[str, str]  # about the occupation stereotyped as female, as male


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedProbe:
    """A published data set as a user's file holds it; nothing of it ships with this package."""

    name: str  # of the file
    kind: Kind
    title: str
    limits: str  # what has been said against it
    reference: str
    pairs: tuple[Pair, ...] = ()
    triples: tuple[Triple, ...] = ()
    choices: tuple[Choice, ...] = ()
    genders: Mapping[str, Gender] = field(default_factory=dict)  # occupation -> stereotype
    unusable: Mapping[str, int] = field(default_factory=dict)  # why -> rows that are not fed
    private: bool = True  # its sentences are never shown unasked
