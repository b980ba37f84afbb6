"""What a checkpoint's own record says of its training: frozen records, written to `audit.json`."""

from dataclasses import dataclass
from typing import Literal

SeriesName = Literal["loss", "gradient norm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One line of the record; None where a number was not logged or (in `audit.json`) is not finite."""

    step: int
    epoch: float | None = None
    loss: float | None = None  # of training
    gradient_norm: float | None = None  # before clipping
    learning_rate: float | None = None
    eval_loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One argument of the training, as a file beside the weights has it."""

    name: str
    value: float | str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """A logged value far above those just before it."""

    series: SeriesName
    step: int
    value: float
    level: float  # median of the values before
    deviations: float  # (value - level) / 1.4826 MAD of the values before


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How training went, from the logged losses, gradient norms and learning rates; None where it cannot be told."""

    losses: int  # logged, finite or not
    norms: int
    not_finite: int  # logged losses and gradient norms that are NaN or infinite
    broken_since: int | None  # step from which on to the end no loss or no gradient norm is finite
    first: float | None  # median loss of the first tenth of the record
    last: float | None  # of the last tenth
    best: float | None  # of the lowest tenth
    best_step: int | None  # where that tenth ends
    oscillation: float | None  # standard deviation of a logged loss about its trend, as a share of it
    excursions: tuple[Excursion, ...]  # the furthest first
    peak_rate: float | None  # learning rate
    last_rate: float | None
    warmup: float | None  # share of the recorded steps before the learning rate was highest
    clipped: float | None  # share of the logged gradient norms above the bound they are clipped to
    eval_best: float | None
    eval_best_step: int | None
    eval_last: float | None
    absent: str | None  # why levels and oscillation are not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The record of a training, as it stands with the checkpoint."""

    files: tuple[str, ...]  # that were read
    steps: int | None = None  # made
    planned: int | None = None
    epochs: float | None = None  # made
    settings: tuple[Setting, ...] = ()
    course: Course | None = None  # None where `absent` says why
    curve: tuple[Logged, ...] = ()  # in order of steps; at most a few hundred in `audit.json`
    lines: int = 0  # of the record, before it was thinned out
    remarks: tuple[str, ...] = ()
    absent: str | None = None  # why there is no course
