"""What an audit says: frozen records that are written to `audit.json` and read back; no torch here.

Absent is absent with a reason: a number that could not be had is None and a `reason`/`absent` says why.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from audit.results.causes import Diagnosis
from audit.results.demographics import Published, Skew
from audit.results.reach import Reach
from audit.results.redundancy import DropCurve
from audit.results.subject import Coverage, Subject
from audit.results.trainability import Trainability
from audit.results.training import Training

SCHEMA_VERSION = "1.0"

Severity = Literal["info", "watch", "fail"]
Verdict = Literal["pass", "watch", "fail", "inconclusive"]
Depth = Literal["quick", "standard", "full"]
Values = float | None | list[float | list[float | None] | None]  # one number, [layer], or [layer][head]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do: everything here that changes a number is part of the measurement's identity."""

    depth: Depth = "standard"
    probes: tuple[str, ...] = ()  # names or files; empty = by depth
    samples: int = 32
    max_length: int = 128
    batch_size: int = 8
    seed: int = 0
    metrics: tuple[str, ...] = ()  # empty = by depth
    spectra: int = 16  # samples per probe of which spectra are taken
    chat: bool = False
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: int | None = None
    max_memory: int | None = None  # bytes; weights that would fill more than 40% of it stay on disk
    confirm: bool = True
    allow_pickle: bool = False
    show_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A metric on a probe: mean over documents with its 95% interval; arrays are [layer][head] or [layer]."""

    value: Values
    low: Values = None
    high: Values = None
    n: int = 0  # documents
    bound: Literal["at_least"] | None = None
    absent: str | None = None  # reason, where `value` or the interval is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Null:
    """What a metric reads where nothing was learnt or nothing is special; `low` and `high` are 5% and 95% quantiles.

    One number for the model, [layer], or [layer][head].
    """

    how: str  # it was made, in words
    value: Values
    low: Values = None
    high: Values = None
    n: int = 0  # draws, heads or samples behind it
    absent: str | None = None  # reason, where there is no value


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The outcome of one rule; every rule leaves one."""

    rule: str
    outcome: Literal["flagged", "passed", "not_applicable", "not_measured"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One number a judgement rests on."""

    metric: str
    probe: str | None
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    null: float | None = None
    threshold: float | None = None
    direction: Literal["below", "above"] | None = None  # which side of the threshold is the fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Whether taking the thing out bore the finding out."""

    status: Literal["confirmed", "not_confirmed", "needs_more_samples", "not_attempted", "absolute"]
    reason: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A judgement with its evidence."""

    id: str  # rule, layer and head: stable between runs
    rule: str
    severity: Severity
    layer: int | None
    head: int | None
    cause: str
    statement: str
    evidence: tuple[Evidence, ...]
    confirmation: Confirmation
    mitigation: str
    remedy: str | None
    references: tuple[str, ...]
    limits: str
    reproduce: str
    topic: str | None = None  # what of this place is meant, where a rule may say several things


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """A file under `exhibits/` that a report may draw."""

    id: str
    kind: str
    finding: str | None
    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRecord:
    """What a metric is, so that a report can be drawn from the audit alone, years later."""

    title: str
    summary: str
    unit: str
    axes: Literal["head", "layer"]
    span: tuple[float | None, float | None]
    direction: str
    healthy: str
    formula: str
    reference: str
    limits: str = ""  # where it is not defined, and what it does not rest on


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """What a rule is and the thresholds it judged with."""

    title: str
    summary: str
    criterion: str
    thresholds: dict[str, float]
    mitigation: str
    limits: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """The policy that judged, the waivers in force or expired, and what it demands that the audit does not give."""

    name: str
    digest: str
    waivers: tuple[dict[str, Any], ...] = ()
    unmet: tuple[str, ...] = ()  # sentences; where there is one, the verdict is inconclusive or fail
    classification: str | None = None  # who may read the reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How this audit came about; outside the digests."""

    path: str
    versions: dict[str, str]
    device: str
    dtype: str
    threads: int
    started: str  # ISO 8601, UTC
    seconds: float
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """What taking flagged things out was measured by, on texts the findings do not rest on."""

    measure: str | None  # None where nothing could be measured
    unit: str | None
    level: float | None  # of the unchanged model
    margin: float | None
    documents: int
    left_out: tuple[str, ...]  # findings the budget did not cover
    together: dict[str, Any] | None  # the cost of taking out all that was confirmed, at once
    rounding: float | None  # the effect of bf16 rounding alone, where effects are of representations
    passes: float  # what it cost, in plain passes over those texts


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledBranch:
    """What one sublayer adds to the residual stream, scaled; blocks are counted as a pass runs through them."""

    block: int
    sublayer: Literal["attention", "mlp"]
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A remedy tried on the checkpoint without training, chosen and measured on texts that no finding rests on.

    Chosen on one half of them, measured on the other.
    """

    finding: str
    remedy: Literal["cooled", "centred", "rescaled"]
    factor: (
        float | None
    )  # of the scores, where they were cooled; of all that is added to the stream, where rescaled
    measure: str
    unit: str
    effect: float | None  # larger is worse; None where the output is not finite any more
    low: float | None
    high: float | None
    n: int  # documents
    helps: bool | None  # whether the whole interval lies below zero; None with too few documents
    metric: str | None = None  # that the finding rests on, of the head or the model, before and after
    before: float | None = None
    after: float | None = None
    change_low: float | None = None  # of after - before, paired by document
    change_high: float | None = None
    scaled: tuple[ScaledBranch, ...] = ()  # where single branches were rescaled


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Everything; `audit.json` is exactly this."""

    schema_version: str
    audit_id: str
    measurement_id: str
    subject: Subject
    plan: dict[str, Any]
    policy: PolicyRecord
    provenance: Provenance
    coverage: Coverage
    measurements: dict[str, dict[str, Measurement]]  # metric -> probe -> measurement
    methods: dict[str, MethodRecord]  # metric -> what it is
    rules: dict[str, RuleRecord]  # rule -> what it is
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    exhibits: tuple[Exhibit, ...]
    verdict: Verdict
    ablation: Ablation | None = None  # None where nothing was taken out
    nulls: dict[str, dict[str, Null]] = field(default_factory=dict)  # metric -> null -> what it reads
    trainability: Trainability | None = None  # before training; None where the coverage says why not
    drop_curves: tuple[DropCurve, ...] = ()  # none where no ablation was asked for
    skew: tuple[Skew, ...] = ()  # none where no demographic probe was fed
    published: tuple[Published, ...] = ()  # scores of the data sets that were named
    training: Training | None = None  # None where no record stands with the checkpoint
    remedies: tuple[Remedy, ...] = ()  # none where nothing flagged has one
    reach: Reach | None = None  # None where the depth does not measure it
    diagnosis: tuple[Diagnosis, ...] = ()  # findings by what they are put down to
