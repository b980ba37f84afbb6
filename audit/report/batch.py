"""The report over a batch: one page composed from its record, and the folder it is published in."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from markupsafe import Markup

from audit import store as stores
from audit.batch import FOLDER, RECORD, Batch, Row
from audit.report import blocks, templating
from audit.report.batch_page import BatchPage, Line, Subject
from audit.report.blocks import Medium, VerdictBlock
from audit.report.pdf import set_in_child
from audit.report.places import name_of
from audit.report.rendering import HTML, PDF
from audit.report.shelving import shelve
from audit.report.wording import counted, listed, sentence
from audit.version import ENGINE

_ROWS: Final = {"screen": 5_000, "print": 250}  # print is a bounded digest
_GAPS: Final = {"screen": 12, "print": 3}
_UNUSABLE: Final = 2
_KINDS: Final = {
    4: ("fail", "Do not rely on this batch: this program failed on a checkpoint."),
    5: ("fail", "Not complete: the machine gave out on a checkpoint, or its job was cancelled."),
    1: ("fail", "Do not promote all of them: a checkpoint fails the policy."),
    3: ("inconclusive", "Not every checkpoint could be judged."),
    0: ("pass", "No checkpoint fails the policy."),
}


def publish_batch(batch: Batch, store: Path, *, pdf: bool = True) -> Path:
    """The folder of the batch's report below `store`; one that says the same is there already is left as it is."""
    target = store / FOLDER / batch.batch_id
    if stores.exists(store / FOLDER, batch.batch_id) and (not pdf or (target / PDF).is_file()):
        return target
    with stores.attempt(store / FOLDER) as folder, stores.faults_of_the_disk(store):
        data = msgspec.json.format(msgspec.json.encode(batch, order="sorted"), indent=2)
        (folder / RECORD).write_bytes(data + b"\n")
        _render(batch, folder, pdf=pdf)
        replace = stores.exists(store / FOLDER, batch.batch_id)
        published = stores.publish(folder, store / FOLDER, batch.batch_id, replace=replace)
    shelve(store)
    return published


def _render(batch: Batch, folder: Path, *, pdf: bool) -> None:
    timestamp = int(datetime.fromisoformat(batch.started).timestamp())
    with ThreadPoolExecutor(1) as aside:
        printed = aside.submit(set_in_child, drawn(batch, "print"), timestamp=timestamp) if pdf else None
        (folder / HTML).write_text(drawn(batch, "screen"), "utf-8")
        if printed:
            (folder / PDF).write_bytes(printed.result())


def drawn(batch: Batch, medium: Medium) -> str:
    """The report as one HTML document."""
    return templating.filled("batch.html", page_of(batch, medium=medium))


def page_of(batch: Batch, *, medium: Medium) -> BatchPage:
    """Everything the page says."""
    style = templating.style_of(medium)
    shown, rest = batch.rows[: _ROWS[medium]], batch.rows[_ROWS[medium] :]
    kind, headline = _KINDS[batch.exit_code]
    return BatchPage(
        medium=medium,
        title=f"Attention audits of {batch.name}",
        name=batch.name,
        kicker="Attention audit · batch",
        identity=batch.batch_id[:12],
        created=batch.started,
        date=batch.started[:10],
        description=f"{counted(len(batch.rows), 'checkpoint')}; batch {batch.batch_id}.",
        generator=f"attention-audit {ENGINE}",
        style=Markup(style),  # noqa: S704 - our own style sheet
        content_policy=templating.content_policy(style),
        verdict=VerdictBlock(
            kind=kind, word=counted(len(batch.rows), "checkpoint"), headline=headline, meaning=_meaning(batch)
        ),
        totals=_totals(batch),
        subjects=tuple(_subject(row, medium) for row in shown),
        subjects_note=f"{counted(len(rest), 'more checkpoint')} in {RECORD}." if rest else "",
    )


def _meaning(batch: Batch) -> str:
    counts = Counter(_word(row) for row in batch.rows)
    order = dict.fromkeys(_word(row) for row in batch.rows)  # the rows' own: the worst first
    return f"{sentence(listed([f'{counts[word]} {word}' for word in order]))} Worst first; each is judged by itself."


def _totals(batch: Batch) -> tuple[blocks.Row, ...]:
    audited = sum(row.audit_id is not None for row in batch.rows)
    return (
        blocks.Row(label="Audited", text=f"{audited} of {counted(len(batch.rows), 'checkpoint')}"),
        blocks.Row(label="Failing", text=counted(sum(row.failing for row in batch.rows), "finding")),
        blocks.Row(label="To watch", text=counted(sum(row.watched for row in batch.rows), "finding")),
        blocks.Row(label="Exit code", text=str(batch.exit_code)),
        blocks.Row(label="Started", text=batch.started[:16].replace("T", " ") + " UTC"),
    )


def _subject(row: Row, medium: Medium) -> Subject:
    gaps = row.unmeasured[: _GAPS[medium]]
    unseen = row.layers - row.observed
    if unseen:
        gaps = (f"{unseen} of {counted(row.layers, 'attention layer')} not observed", *gaps)
    more = len(row.unmeasured) - _GAPS[medium]
    return Subject(
        name=name_of(row.checkpoint),
        about=_about(row),
        kind=_kind(row),
        word=_word(row),
        lines=tuple(Line(severity=remark.severity, statement=remark.statement) for remark in row.findings),
        note=_note(row),
        reason=sentence(row.reason) if row.reason else "",
        gaps=tuple(sentence(gap) for gap in gaps),
        gaps_note=f"and {more} more in its report" if more > 0 else "",
        report=f"../../{row.audit_id}/{HTML}" if row.audit_id and medium == "screen" else "",
        identity=row.audit_id or "",
    )


def _about(row: Row) -> str:
    """Its full path where the name is short of it, and what it is."""
    path = [row.checkpoint] if row.checkpoint != name_of(row.checkpoint) else []
    return ", ".join(
        [*path, *([f"{row.architecture}, {row.parameters:,} parameters"] if row.architecture else [])]
    )


def _note(row: Row) -> str:
    rest = row.failing + row.watched - len(row.findings)
    if rest > 0:
        return f"{'and ' if row.findings else ''}{counted(rest, 'more finding' if row.findings else 'finding')} in its report"
    return "Nothing to watch." if row.verdict and not row.findings else ""


def _word(row: Row) -> str:
    if row.verdict:
        return row.verdict
    return "refused" if row.exit_code == _UNUSABLE else row.state


def _kind(row: Row) -> str:
    """The style sheet's word for it."""
    kinds = {"pass": "passed", "watch": "watch", "fail": "fail", "inconclusive": "not_measured"}
    return kinds[row.verdict] if row.verdict else ("not_measured" if row.exit_code == _UNUSABLE else "fail")
