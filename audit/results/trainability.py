"""What the theory says of an untrained configuration: the record that an audit keeps and a page draws."""

from dataclasses import dataclass
from typing import Literal

Phase = Literal["rank collapse", "trainable", "entropy collapse"]
Axis = Literal["skip", "depth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The first block of a configuration, and where the last one ends."""

    beta: float  # inverse temperature of attention
    beta_critical: float | None  # of the tokens entering the first attention; None where they are all equal
    score_sd: float  # s, of a row about its common part
    score_sd_at_unit_beta: float
    kappa: float  # s / sqrt(2 log T); above 1 frozen
    entropy_share: float  # entropy of a row over log T
    own_overlap: float  # Y2; a row rests on about 1/Y2 keys
    tokens: int  # T
    depth: int  # blocks
    skip: float
    phase: Phase
    similarity: float  # token cosine after the last block
    phase_infinite: Phase  # by the paper's T -> infinity map
    similarity_infinite: float
    phase_without_skip: Phase
    similarity_centred: float  # with attention less its mean
    critical_skip: float | None  # closed form of attention-only post-LN stacks, where it applies


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """Gradients of a random read-out of the last block, with unit gradient per channel there."""

    stream: tuple[float, ...]  # towards the tokens, per channel, depth + 1
    alike: tuple[float, ...]  # c_g of two tokens, depth + 1
    query: tuple[float, ...]  # E||dL/dW_Q||_F^2 of the blocks in `blocks`
    exponent: float  # log of stream[0] / stream[L] per block; above 0 gradients grow towards the input


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Layer by layer; [0] is the input where a tuple has depth + 1 entries."""

    similarity: tuple[float, ...]  # rho, depth + 1
    similarity_infinite: tuple[float, ...]
    similarity_centred: tuple[float, ...]
    energy: tuple[float, ...]  # q, depth + 1
    stable_rank: tuple[float, ...]  # of the tokens' Gram matrix, depth + 1
    stable_rank_centred: tuple[float, ...]
    anisotropy: tuple[float, ...]  # d tr(S^2) / (tr S)^2 of the tokens about their common part, depth + 1
    angle_exponent: tuple[float, ...]  # log (1 - rho') / (1 - rho) at rho = .99, depth; below 0 collapses
    blocks: tuple[int, ...]  # from 1; all of them, or twelve evenly picked
    entropy_share: tuple[float, ...]  # H / log T of a row in these blocks
    per_token: Readout  # of a loss on every token: language models
    pooled: Readout  # of a loss on the mean token: encoders


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing to turn, and the least turn that changes the phase; `after` is None where none was found."""

    knob: str
    before: float | str
    after: float | str | None
    phase: Phase  # reached; the present one where none was found
    similarity: float | None  # of the tokens after the last block, then
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainability:
    """Where a configuration stands before any training, and what would move it; nothing of its weights enters."""

    model_type: str
    placement: str | None  # of the norms: pre, post, sandwich, branch, none; None where the type is not known
    point: Point
    profile: Profile
    changes: tuple[Change, ...]
    words: tuple[str, ...]  # which side it is on and what would move it, in sentences
    assumptions: tuple[str, ...]  # of the theory that fail for this model; empty = it covers it
    missing: tuple[str, ...]  # fields the configuration lacks, and what was taken instead
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Cells [level][beta] of one map."""

    phase: tuple[tuple[Phase, ...], ...]
    similarity: tuple[tuple[float, ...], ...]  # token cosine after the last block


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One picture: the phases over inverse temperature and skip scale, or inverse temperature and depth."""

    axis: Axis  # what the levels are
    betas: tuple[float, ...]  # inverse temperature of attention, left to right
    levels: tuple[float, ...]  # skip scale alpha, or number of blocks, bottom up
    finite: Grid  # at the real T
    infinite: Grid  # the paper's T -> infinity map
    entropy: tuple[float, ...]  # H / log T of a row of the first block, by beta


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """A configuration on the planes around it."""

    here: Trainability
    planes: tuple[Plane, ...]
