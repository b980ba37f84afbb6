"""What is said of how a model allots its attention to groups of people: frozen records, written to `audit.json`."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewedHead:
    """One head on one axis: first group minus second, or between minus within groups for a divergence."""

    quantity: str
    layer: int
    head: int
    level: float  # mean over all terms
    difference: float
    low: float | None  # 95% interval over terms and templates; None for a divergence
    high: float | None
    size: float | None  # Hedges' g over terms
    p: float  # of labels permuted over terms
    q: float  # corrected over all heads, quantities and axes
    reinitialised: float | None  # the same difference in the same architecture with fresh weights
    carries: float | None = None  # share of the difference in output that this head's pattern carries
    carries_low: float | None = None
    carries_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewedOutput:
    """What the same sentences do to the model's prediction of the attribute."""

    measure: str
    p: float | None  # of labels permuted over terms: do the groups differ in their associations
    difference: float  # mean over templates of the absolute difference between groups, nats
    chance: float  # the same with labels permuted
    leanings: tuple[dict[str, Any], ...]  # the attributes that differ most


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewRemedy:
    """What treating the named heads that stand out does, each with its 95% interval; None where not defined.

    equalised  both terms of a pair get the mean of the two patterns
    silenced   the heads give every token their mean output over the sentences
    """

    name: str
    heads: int
    skew: float | None  # share left of the differences in attention that stood out, over terms
    skew_low: float | None
    skew_high: float | None
    output: float | None  # share left of what the other term changes in the output, over pairs of terms
    output_low: float | None
    output_high: float | None
    loss: float | None  # rise in nats per token on the same sentences, over terms
    loss_low: float | None
    loss_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewExample:
    """What one head does in two sentences that differ in one term: a pair as unlike as its groups are on the whole."""

    quantity: str
    layer: int
    head: int
    terms: tuple[str, str]
    words: tuple[str, ...]  # of both sentences; empty where the term stands
    attention: tuple[
        tuple[float | None, ...], tuple[float | None, ...]
    ]  # between each word and the term, as `quantity` says; None where a word does not count


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewAxis:
    """One demographic axis."""

    name: str
    title: str
    groups: tuple[str, str]
    pairs: tuple[tuple[str, str], ...]  # matched terms; empty where a user's words are withheld
    terms: int  # per group
    templates: int
    sentences: int
    unknown: int  # terms the tokenizer does not know
    unmatched: int  # terms without a counterpart of as many word pieces
    imbalance: float  # in token rank, standard deviations
    limits: str
    control: bool
    verdict: Literal["skew found", "none found", "descriptive", "not applicable"]
    reason: str
    heads: tuple[SkewedHead, ...] = ()  # those that stand out, most certain first
    found: int = 0  # heads and quantities with q <= 0.05
    by_layer: tuple[int, ...] = ()  # heads with at least one of these, by layer
    smallest: float | None = None  # difference in attention received that would probably have been found
    output: SkewedOutput | None = None
    output_absent: str | None = None  # why the output was not measured
    remedies: tuple[SkewRemedy, ...] = ()  # tried where the output differs beyond chance
    example: SkewExample | None = None  # none where nothing stands out or a user's words are withheld


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """How attention is allotted to groups of people, over all axes that were fed."""

    probe: str
    quantities: dict[str, str]  # name -> title
    tests: int  # corrected together
    level: float  # share of the skews found that may be false
    axes: tuple[SkewAxis, ...]
    absent: str | None = None  # why nothing was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScore:
    """One score of a published data set: percent, but for a total effect."""

    name: Literal[
        "preference",  # pairs whose stereotypical sentence is likelier; 50 is none
        "stereotype",  # the same over pairs that show a stereotype, ties left out
        "anti_stereotype",  # over pairs that go against one
        "lms",  # how often a sentence that makes sense is likelier than an unrelated one
        "ss",  # how often the stereotype is likelier than its opposite; 50 is none
        "icat",  # both in one: 100 is a model that speaks well and prefers neither
        "total_effect",  # of the other pronoun on the odds of two ways to go on, less one
        "effect_direction",  # how often that effect goes the stereotypical way; 50 is none
    ]
    group: str  # "all", or what is reported apart, e.g. a bias type
    value: float
    low: float | None  # 95% interval; None where there are too few observations or they do not differ
    high: float | None
    n: int  # items
    observations: int  # clusters of items that the interval rests on


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the scorer of a published data set says of the model's output."""

    probe: str  # name of the user's file
    kind: Literal["crows_pairs", "stereoset", "winobias", "winogender"]
    title: str
    measure: str  # how sentences were scored, in words
    observation: str  # what the interval counts as one, plural
    items: int  # of the file, those that cannot be scored included
    fed: int  # items scored
    unscored: dict[str, int]  # why -> items
    scores: tuple[PublishedScore, ...]
    limits: str
    reference: str
    absent: str | None = None  # why nothing was scored
