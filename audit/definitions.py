"""What a metric, a rule and a probe are: one record each, filled in by one file each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from audit.results import (
    Confirmation,
    Evidence,
    Measurement,
    Null,
    Values,
)
from audit.results.demographics import Skew
from audit.results.reach import Reach
from audit.results.subject import Coverage, Subject
from audit.results.trainability import Trainability
from audit.results.training import Training

if TYPE_CHECKING:  # listing rules and probes must not cost an import of torch
    from torch import Tensor

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What can be measured, in the words a report prints; `absent_when` is the reason where it is not defined."""

    name: str  # = file stem = JSON key = word on the command line = anchor in the report
    title: str
    summary: str  # one line
    observes: Literal["attention", "residual", "gradient", "weights"]
    axes: Literal["head", "layer"]
    unit: str  # e.g. "fraction", "nats", "keys", "tokens", "1"
    span: tuple[float | None, float | None]  # the values it can take; None = unbounded
    direction: str  # what larger values mean, in words
    healthy: str  # band or null with its source, or "no published band"
    formula: str  # plain text, as one would type it
    reference: str  # paper and equation
    absent_when: str = "not defined on any sample"
    depths: tuple[str, ...] = ("quick", "standard", "full")  # depths that measure it by default

    @property
    def limits(self) -> str:
        """Where it has no value, and what it rests on."""
        rests = "Read from the weights: no text is involved. " if self.observes == "weights" else ""
        return f"{rests}Without a value: {self.absent_when}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Quantity):
    """A quantity of each sample: `compute(observation)` gives float64 [batch, head] or [batch].

    NaN in a cell means 'not defined for this sample'. A metric of weights gives [head] and is computed once.
    """

    compute: "Callable[[Any], Tensor]"
    spectral: bool = False  # costs a decomposition: taken of `Plan.spectra` samples of a probe only
    beyond: float | None = None  # the value that stands for itself and all that is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusMetric(Quantity):
    """A quantity of a whole probe, which no sample has by itself: what does not change between texts, say.

    `partial(observation)` gives what each sample adds, named float64 tensors [batch, ...] whose shapes beyond the
    batch depend on the layer only, never on the length of the batch. They are added up in sample order, so that no
    batch size shows; samples in which one is not finite are left out. `reduce(sums)` makes [head] or a number of
    them. Metrics with the same `partial` share its sums.
    """

    windows: tuple[int, int] | None = None  # a published protocol's texts and tokens; None = the plan's
    partial: "Callable[[Any], Mapping[str, Tensor]]"
    reduce: "Callable[[Mapping[str, Tensor]], Tensor]"


class Cell(NamedTuple):
    """One head (or layer: `head` is None) of a measurement."""

    layer: int
    head: int | None
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a rule may look at."""

    subject: Subject
    coverage: Coverage
    measurements: Mapping[str, Mapping[str, Measurement]]  # metric -> probe -> measurement
    thresholds: Mapping[str, float] = field(default_factory=dict)  # this rule's, from the policy
    nulls: Mapping[str, Mapping[str, Null]] = field(default_factory=dict)  # metric -> null -> what it reads
    trainability: Trainability | None = None  # before training; None where the coverage says why not
    skew: tuple[Skew, ...] = ()
    training: Training | None = None  # as recorded beside the weights, if it is
    reach: Reach | None = None  # None where the depth does not measure it

    def texts(self) -> tuple[str, ...]:
        """Probes made of natural text: judgements of behaviour rest on these, never on the random control."""
        return tuple(probe.name for probe in self.coverage.probes if probe.name != "random")

    def cells(self, metric: str, probe: str) -> Iterator[Cell]:
        """Every measured cell of `metric` on `probe`; absent cells and metrics give nothing."""
        measured = self.measurements.get(metric, {}).get(probe)
        if measured is None or not isinstance(measured.value, list):
            return
        for layer, row in enumerate(measured.value):
            for head, value in enumerate(row) if isinstance(row, list) else ((None, row),):
                if value is not None:
                    low, high = (_at(bound, layer, head) for bound in (measured.low, measured.high))
                    yield Cell(layer, head, value, low, high, measured.n)

    def cell(self, metric: str, probe: str, layer: int, head: int | None = None) -> Cell | None:
        """One cell, or None where it is absent."""
        measured = self.measurements.get(metric, {}).get(probe)
        row = _item(measured.value, layer) if measured and isinstance(measured.value, list) else None
        if measured is None or isinstance(row, list) != (head is not None):
            return None
        value, low, high = (_at(of, layer, head) for of in (measured.value, measured.low, measured.high))
        return None if value is None else Cell(layer, head, value, low, high, measured.n)

    def null(self, metric: str, name: str, layer: int, head: int | None = None) -> Cell | None:
        """What `metric` reads under a null at one cell, or None where it was not computed."""
        null = self.nulls.get(metric, {}).get(name)
        if null is None:
            return None
        value, low, high = (_at(values, layer, head) for values in (null.value, null.low, null.high))
        return None if value is None else Cell(layer, head, value, low, high, null.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What a rule flags: it becomes a finding once policy and confirmation have spoken."""

    statement: str
    evidence: tuple[Evidence, ...]
    cause: str
    layer: int | None = None
    head: int | None = None
    about: str | None = None  # where one rule may say several things of one place
    topic: str | None = None  # the same in words
    remedy: str | None = None  # what became of one that was tried
    confirmation: Confirmation | None = None  # given where the rule itself is absolute
    severity: Literal["info", "watch", "fail"] | None = None  # where one rule grades; else the policy's


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The rule has no meaning for this checkpoint."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """The rule has a meaning here, but what it needs was not measured."""

    reason: str


def _at(values: Values, layer: int, head: int | None) -> float | None:
    """One number of nested values; None where it, or the place, is absent."""
    row = _item(values, layer) if isinstance(values, list) else values
    found = _item(row, head) if isinstance(row, list) and head is not None else row
    return float(found) if isinstance(found, int | float) else None


def _item(values: Sequence[_Item], index: int) -> _Item | None:
    return values[index] if 0 <= index < len(values) else None


Judgement = NotApplicable | NotMeasured | tuple[Suspicion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One judgement over measurements."""

    name: str
    title: str
    summary: str  # one line
    criterion: str  # when it flags, with the names of the thresholds it reads
    judge: Callable[[Case], Judgement]
    mitigation: str
    limits: str
    references: tuple[str, ...]
    reads: tuple[
        str, ...
    ] = ()  # metrics that decide about a head or layer; cells without a number are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text of a probe; `text` is None for a stream of random tokens."""

    id: str
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A dataset that can be fed."""

    name: str
    title: str
    summary: str  # one line
    licence: str
    documents: Callable[[], tuple[Document, ...]]  # read when asked, not at import
    depths: tuple[str, ...] = ()  # depths that feed it by default
    stretches: bool = False  # its windows are as long as the model and the cost allow, not --max-length
    private: bool = False  # a user's own text: shown in a report only when asked for


SLOT = "{person}"  # where a term stands in a template


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Two groups of terms that are put into the same sentences.

    A template holds `{person}` once and may mark one *attribute*; the first group is the one a difference is counted
    for. `rows` names the (template, term) sentences to feed, as indices into `templates` and into the terms of both
    groups in order; None is every term in every template.
    """

    name: str
    title: str
    groups: tuple[str, str]
    terms: tuple[tuple[str, ...], tuple[str, ...]]
    templates: tuple[str, ...]
    phrase: str = "{}"  # how a term stands in a sentence
    limits: str = ""
    control: bool = False  # nothing should be found here
    rows: frozenset[tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairProbe:
    """Sentences in pairs that differ in one term, for one or more demographic axes."""

    name: str
    title: str
    summary: str  # one line
    licence: str
    axes: Callable[[], tuple[Axis, ...]]  # read when asked, not at import
    depths: tuple[str, ...] = ()  # depths that feed it by default
    private: bool = False  # a user's own words: shown in a report only when asked for
