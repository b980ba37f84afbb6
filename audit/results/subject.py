"""The checkpoint that was audited, and what of it was looked at: part of what an audit says."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """One file of the checkpoint."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The checkpoint that was audited."""

    digest: str
    model_type: str
    architecture: str
    task: Literal["causal", "masked", "encoder", "seq2seq"]
    parameters: int
    blocks: int
    heads: int  # query heads of the widest observed layer
    kv_heads: int
    files: tuple[FileDigest, ...]
    adapter: str | None = None  # digest of the LoRA adapter merged into it
    nonfinite: tuple[tuple[str, int], ...] = ()  # tensors holding NaN or infinity, and how many
    positions: int = 0  # rows of a learned table of positions; 0 where there is none
    untrained_positions: tuple[tuple[int, int], ...] = ()  # runs training never reached: first and last row
    remarks: tuple[str, ...] = ()  # e.g. an ignored auto_map, tensors outside the observed path


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCoverage:
    """One attention layer, observed or not."""

    index: int
    name: str
    block: int
    stack: Literal["encoder", "decoder"]
    kind: Literal["self", "cross"]
    heads: int
    kv_heads: int
    observed: bool
    path: Literal["fused", "tiles", "eager"] | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A metric that could not be measured anywhere on a probe."""

    metric: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCoverage:
    """A probe as it was really fed."""

    name: str
    digest: str
    samples: int
    documents: int
    tokens: int
    remark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What was looked at and, above all, what was not."""

    layers: tuple[LayerCoverage, ...]
    skipped: tuple[Skipped, ...]
    probes: tuple[ProbeCoverage, ...]
