"""The store's front page: the latest audit of each model, every audit, batches and comparisons."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

from audit.report import templating
from audit.report.document import Document
from audit.report.rendering import HTML
from audit.report.shelf import Link, Row, by_model
from audit.report.wording import counted, listed
from audit.version import ENGINE

_SHOWN: Final = 2_000  # rows of each table, the newest
_STEPS: Final = 24  # audits in a line of findings
_WIDTH, _HEIGHT, _EDGE = 96.0, 22.0, 3.0
_KINDS: Final = {"pass": "passed", "watch": "watch", "fail": "fail", "inconclusive": "not_measured"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A line of findings from audit to audit, ready to draw, and in words."""

    words: str
    points: str
    last: tuple[str, str]  # of the last audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """One audit, or of a model the latest one."""

    href: str
    name: str
    about: str
    verdict: str
    kind: str
    findings: str
    observed: str
    depth: str
    policy: str
    date: str
    identity: str
    latest: bool
    damaged: str
    trend: Trend | None
    audits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfPage(Document):
    """Everything the page says."""

    created: str
    script: Markup
    total: str
    verdicts: tuple[str, ...]
    models: tuple[Shelved, ...]
    audits: tuple[Shelved, ...]
    audits_note: str
    batches: tuple[Link, ...]
    comparisons: tuple[Link, ...]


def drawn(rows: Mapping[str, Row], left: int, batches: Sequence[Link], comparisons: Sequence[Link]) -> str:
    """The page as one HTML document; `left` audits are not among `rows` yet."""
    return templating.filled("catalogue.html", page_of(rows, left, batches, comparisons))


def page_of(
    rows: Mapping[str, Row], left: int, batches: Sequence[Link], comparisons: Sequence[Link]
) -> ShelfPage:
    """Everything the page says."""
    style, script = templating.style_of("screen", "catalogue"), templating.script_of("catalogue")
    models = by_model(rows)
    latest = {audits[-1][0] for audits in models.values()}
    newest = sorted(rows.items(), key=lambda each: (each[1].started, each[0]), reverse=True)
    total = f"{counted(len(rows), 'audit')} of {counted(len(models), 'model')}"
    return ShelfPage(
        medium="screen",
        title="Attention audits",
        created=newest[0][1].started if newest else "",
        description=total,
        generator=f"attention-audit {ENGINE}",
        style=Markup(style),  # noqa: S704 - our own style sheet
        script=Markup(f"<script>{script}</script>"),  # noqa: S704 - our own script
        content_policy=templating.content_policy(style, script),
        total=f"{total}. {_verdicts(models)}",
        verdicts=tuple(verdict for verdict in _KINDS if any(row.verdict == verdict for row in rows.values())),
        models=tuple(_model(audits) for audits in list(models.values())[:_SHOWN]),
        audits=tuple(_shelved(audit_id, row, latest=audit_id in latest) for audit_id, row in newest[:_SHOWN]),
        audits_note=_note(len(rows) - _SHOWN, left),
        batches=tuple(batches),
        comparisons=tuple(comparisons),
    )


def _verdicts(models: Mapping[str, Sequence[tuple[str, Row]]]) -> str:
    counts = Counter(audits[-1][1].verdict for audits in models.values())
    words = [
        f"{counts[verdict]} {verdict}"
        for verdict in ("fail", "inconclusive", "watch", "pass")
        if counts[verdict]
    ]
    return f"At their latest: {listed(words)}." if words else ""


def _note(hidden: int, left: int) -> str:
    notes = (
        [f"{counted(hidden, 'older audit')} not shown: `attnaudit list` has them all."] if hidden > 0 else []
    )
    if left:
        notes.append(f"{counted(left, 'audit')} not listed yet: `attnaudit report STORE` lists them now.")
    return " ".join(notes)


def _model(audits: Sequence[tuple[str, Row]]) -> Shelved:
    audit_id, row = audits[-1]
    return _shelved(
        audit_id,
        row,
        latest=True,
        name=row.model,
        trend=_trend([each for _, each in audits]),
        audits=f"{len(audits):,}",
    )


def _shelved(
    audit_id: str,
    row: Row,
    *,
    latest: bool,
    name: str | None = None,
    trend: Trend | None = None,
    audits: str = "",
) -> Shelved:
    return Shelved(
        href=f"./{quote(audit_id)}/{HTML}",
        name=name or row.name or audit_id,
        about=row.about,
        verdict=row.verdict or "cannot be read",
        kind=_KINDS[row.verdict] if row.verdict else "not_measured",
        findings=_findings(row),
        observed=f"{row.observed} of {row.layers}",
        depth=row.depth,
        policy=row.policy,
        date=row.started[:16].replace("T", " "),
        identity=audit_id,
        latest=latest,
        damaged=row.damaged or "",
        trend=trend,
        audits=audits,
    )


def _findings(row: Row) -> str:
    words = [f"{row.failing} failing"] if row.failing else []
    return ", ".join([*words, *([f"{row.watched} to watch"] if row.watched else [])]) or "none"


def _trend(rows: Sequence[Row]) -> Trend | None:
    """Findings of the last audits of a model; None for a single one."""
    counts = [row.failing + row.watched for row in rows[-_STEPS:]]
    if len(counts) < 2:
        return None
    highest, step = max(*counts, 1), (_WIDTH - 2 * _EDGE) / (len(counts) - 1)
    scale = (_HEIGHT - 2 * _EDGE) / highest
    spots = [
        (f"{_EDGE + index * step:.1f}", f"{_HEIGHT - _EDGE - count * scale:.1f}")
        for index, count in enumerate(counts)
    ]
    return Trend(
        words=f"Findings in the last {len(counts)} audits, oldest first: {', '.join(map(str, counts))}",
        points=" ".join(f"{x},{y}" for x, y in spots),
        last=spots[-1],
    )
