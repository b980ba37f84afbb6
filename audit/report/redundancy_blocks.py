"""The blocks of the section on what a model could do without."""

from dataclasses import dataclass

from audit.report.blocks import Figure, Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What taking one thing out cost, and what was decided."""

    subject: str
    target: str  # the finding, or empty
    replacement: str
    effect: str
    documents: str
    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablations:
    """How flagged parts were put to the test."""

    facts: tuple[Row, ...]
    trials: tuple[Trial, ...]
    matter: tuple[Row, ...]  # what looks idle and is not
    left_out: tuple[str, ...]
    note: str  # where nothing was taken out: why


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What leaving out ever more parts of one kind costs and saves, or why that is not known."""

    title: str
    summary: str
    figure: Figure | None
    table: Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Which heads write alike."""

    summary: str
    figures: tuple[Figure, ...]
    clusters: Table | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Ranks by the published protocol, beside the published figures."""

    summary: str
    table: Table | None
    published: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundancyBlock:
    """What the model could do without."""

    ablations: Ablations
    curves: tuple[Curve, ...]
    curves_note: str
    ranks: Ranks | None
    likeness: Likeness
