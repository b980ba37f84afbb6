"""What a batch says: a row for each checkpoint that was asked for, the worst first, failures included."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final, Literal

from audit.identity import digest_of
from audit.outcomes import VERDICT_CODES, rank, worst
from audit.results import Audit, Check, Severity, Verdict

SCHEMA: Final = "1.0"
FOLDER: Final = "batches"  # below the store
RECORD: Final = "batch.json"
_SHOWN: Final = 5  # findings of one checkpoint; its own report has all
_UNUSABLE, _INCONCLUSIVE = 2, 3
_VERDICTS: Final = ("fail", "inconclusive", "watch", "pass")
State = Literal["published", "failed", "cancelled", "quarantined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A finding in one line."""

    id: str
    severity: Severity
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one checkpoint."""

    checkpoint: str  # as the manifest names it
    state: State
    exit_code: int  # as `run` would end
    reason: str | None = None  # where there is no audit
    audit_id: str | None = None
    verdict: Verdict | None = None
    architecture: str | None = None
    parameters: int | None = None
    failing: int = 0  # findings
    watched: int = 0
    findings: tuple[Remark, ...] = ()  # the gravest that are more than remarks
    layers: int = 0  # of attention
    observed: int = 0
    unmeasured: tuple[str, ...] = ()  # checks and metrics, each with its reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Everything; `batch.json` is exactly this."""

    schema_version: str
    batch_id: str
    name: str
    started: str  # ISO 8601, UTC; with `seconds` outside the identity
    seconds: float
    exit_code: int
    rows: tuple[Row, ...]  # the worst first


def batch_of(name: str, rows: Iterable[Row], *, started: str, seconds: float) -> Batch:
    """The batch of these rows, given in the manifest's order."""
    ordered = tuple(sorted(rows, key=_badness))
    return Batch(
        schema_version=SCHEMA,
        batch_id=digest_of([name, [asdict(row) for row in ordered]])[:16],
        name=name,
        started=started,
        seconds=round(seconds, 1),
        exit_code=worst(_counted(row.exit_code) for row in ordered),
        rows=ordered,
    )


def row_of(checkpoint: str, audit: Audit) -> Row:
    """The row of an audit that stands in the store."""
    grave = sorted((f for f in audit.findings if f.severity != "info"), key=lambda f: f.severity != "fail")
    layers = audit.coverage.layers
    return Row(
        checkpoint=checkpoint,
        state="published",
        exit_code=VERDICT_CODES[audit.verdict],
        audit_id=audit.audit_id,
        verdict=audit.verdict,
        architecture=audit.subject.architecture,
        parameters=audit.subject.parameters,
        failing=sum(f.severity == "fail" for f in grave),
        watched=sum(f.severity == "watch" for f in grave),
        findings=tuple(Remark(id=f.id, severity=f.severity, statement=f.statement) for f in grave[:_SHOWN]),
        layers=len(layers),
        observed=sum(layer.observed for layer in layers),
        unmeasured=(
            *audit.policy.unmet,
            *(f"{check.rule}: {check.reason}" for check in audit.checks if _is_missing(check)),
            *(f"{skipped.metric}: {skipped.reason}" for skipped in audit.coverage.skipped),
        ),
    )


def _is_missing(check: Check) -> bool:
    return check.outcome == "not_measured"


def _counted(code: int) -> int:
    """A refused checkpoint leaves the batch inconclusive; 2 is for a batch that could not begin."""
    return _INCONCLUSIVE if code == _UNUSABLE else code


def _badness(row: Row) -> tuple[int, int, int, int]:
    verdict = _VERDICTS.index(row.verdict) if row.verdict else 0
    return rank(row.exit_code), verdict, -row.failing, -row.watched
