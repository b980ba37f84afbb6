"""A series of checkpoints of one training: each audited, the weights held against the first's, one report over them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from audit import catalog
from audit import manifest as manifests
from audit.batch import Row
from audit.batching import audited
from audit.checkpoint.moved import moved
from audit.checkpoint.opening import open_checkpoint
from audit.compare.alarms import NEEDED
from audit.compare.layer_means import DRIFTS
from audit.compare.records import Trend
from audit.compare.trend import trend
from audit.errors import AuditError, UnusableInput
from audit.manifest import Item
from audit.progress import Progress
from audit.report.series import publish_series
from audit.results import Plan

_NEEDED = frozenset({*NEEDED, *(name for name, _ in DRIFTS)})


class Series(NamedTuple):
    """What a series says, the folder of its report, and what became of each checkpoint."""

    trend: Trend
    folder: Path
    rows: tuple[Row, ...]


def members(paths: Sequence[Path], options: Mapping[str, Any]) -> tuple[Item, ...]:
    """The checkpoints in the order of training, each with its plan.

    One path is a training's output folder (its checkpoints in the order a reader counts) or a manifest, several are
    checkpoints in the order given. `options` are fields of a plan, and `policy`. Raises UnusableInput for less than two.
    """
    if len(paths) == 1:
        items = manifests.read(paths[0], options).items
    else:
        policy = options.get("policy")
        plan = Plan(**{key: value for key, value in options.items() if key != "policy"})
        items = tuple(Item(name=str(path), checkpoint=str(path), plan=plan, policy=policy) for path in paths)
    if len(items) < 2:
        raise UnusableInput(
            f"{str(paths[0])!r} holds one checkpoint: give the folder that holds a training's checkpoints, or several of them"
        )
    return tuple(dataclasses.replace(item, plan=_looking(item.plan)) for item in items)


def audit_series(
    items: Sequence[Item],
    *,
    store: Path | str = "audits",
    pdf: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    told: Callable[[Row], None] = lambda _: None,
) -> Series:
    """Audit every checkpoint of a series and publish one report over them; audits that exist are not made again.

    `pdf` is of the series' report; the audits get theirs from `attnaudit report`, for it takes longer than the audit of a
    small model. A checkpoint that cannot be audited is left out, and the report says so. Raises UnusableInput where fewer than two
    could be, NotComparable where they are not of one training, MachineFault where the report cannot be written.
    """
    store = Path(store)
    rows = []
    for item in items:
        rows.append(audited(item, store=store, pdf=False, force=force, progress=progress))
        told(rows[-1])
    done = [(item, row.audit_id) for item, row in zip(items, rows, strict=True) if row.audit_id]
    if len(done) < 2:
        reasons = "; ".join(f"{row.checkpoint}: {row.reason}" for row in rows if not row.audit_id)
        raise UnusableInput(
            f"{len(done)} of {len(rows)} checkpoints could be audited, two are a series. {reasons}"
        )
    remarks = [f"left out: {row.checkpoint}, {row.reason}" for row in rows if not row.audit_id]
    distances, gap = _distances([item for item, _ in done])
    found = trend(
        [store / audit_id for _, audit_id in done],
        paths=[item.checkpoint for item, _ in done],
        moved=distances,
        told=(*remarks, *([gap] if gap else [])),
    )
    return Series(found, publish_series(found, store, pdf=pdf), tuple(rows))


def _looking(plan: Plan) -> Plan:
    """`plan` with the metrics that drift and warnings need, where it names none and its depth leaves one out."""
    usual = {name for name, metric in catalog.metrics().items() if plan.depth in metric.depths}
    if plan.metrics or usual >= _NEEDED:
        return plan
    return dataclasses.replace(plan, metrics=tuple(sorted(usual | _NEEDED)))


def _distances(items: Sequence[Item]) -> tuple[list[float | None], str | None]:
    """How far each checkpoint's weights are from the first's, and why it is not known."""
    try:
        opened = [
            open_checkpoint(Path(each.checkpoint), allow_pickle=each.plan.allow_pickle) for each in items
        ]
        return [moved(opened[0], each) for each in opened], None
    except AuditError as error:
        return [], str(error)
