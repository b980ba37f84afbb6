"""How far back a model uses what it has read: the record that an audit keeps of it."""

from dataclasses import dataclass
from typing import Literal

Scheme = Literal["sinusoidal table", "learned table", "rotary", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The loss of the same tokens with only so much text kept before them."""

    tokens: int  # of context
    loss: float | None  # mean over documents
    effect: float | None  # how much it is above the loss with all of the context; paired by document
    low: float | None
    high: float | None
    n: int  # documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """What it is worth to a passage that it stood in the text before, against another passage in its place."""

    distance: int  # tokens from its first beginning to its second
    gain: float | None  # fall of the loss of its second reading, mean over documents
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionDecay:
    """How alike two positions are by position alone, against their distance; 1 is a position and itself."""

    scheme: Scheme
    positions: int | None  # the most the configuration promises
    base: float | None  # of the wavelengths of rotary positions
    alike: tuple[tuple[int, float], ...] = ()  # distance and similarity
    turns: int | None = None  # first distance below `positions` at which it is negative


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What context is worth at growing lengths, or why that was not measured."""

    decay: PositionDecay
    probe: str | None = None
    window: int = 0  # tokens of the longest text
    passage: int = 0  # the last tokens of each window, whose loss is read; they are what is repeated
    measure: str | None = None
    unit: str | None = None
    margin: float | None = None
    kept: tuple[Kept, ...] = ()  # shortest first; the last one is all of the context
    repeats: tuple[Repeat, ...] = ()  # nearest first
    absent: str | None = None
