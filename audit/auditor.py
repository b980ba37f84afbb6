"""One audit from a path to a published folder: the library's front door."""

import shutil
from pathlib import Path

from audit import policy as policies
from audit import store as stores
from audit.checkpoint.opening import open_checkpoint
from audit.progress import Progress, Silent
from audit.report.redraw import redraw
from audit.report.rendering import HTML, PDF, render
from audit.request import Request, request
from audit.results import Audit, Plan
from audit.run import rejudged, run
from audit.store import Fence


def audit_checkpoint(
    checkpoint: Path | str,
    plan: Plan | None = None,
    *,
    policy: Path | str | None = None,
    adapter: Path | str | None = None,
    store: Path | str = "audits",
    pdf: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    command: str = "audit_checkpoint(...)",
    fence: Fence | None = None,
) -> Audit:
    """The published audit of a local checkpoint; it stands in `store / audit.audit_id`.

    An audit that exists is returned, not redone, unless `force`; under another policy the same measurements are
    judged again. Where several attempts may be at the same job, `fence` decides which one becomes visible.
    Raises UnusableInput (bad checkpoint or option), NothingObserved, MachineFault.
    """
    plan, progress, store = plan or Plan(), progress or Silent(), Path(store)
    opened = open_checkpoint(
        Path(checkpoint), adapter=Path(adapter) if adapter else None, allow_pickle=plan.allow_pickle
    )
    asked = request(opened, plan, policies.load(policy), command=command)
    if not force:
        if stores.exists(store, asked.audit_id):
            return _with_reports(store / asked.audit_id, pdf=pdf)
        if (measured := stores.measured(store, asked.measurement_id)) is not None:
            return _judge_again(asked, measured, store, pdf=pdf, progress=progress, fence=fence)
    with stores.attempt(store, fence.label if fence else "") as folder, stores.faults_of_the_disk(store):
        audit = run(asked, folder, progress)
        _finish(audit, folder, store, pdf=pdf, replace=force, progress=progress, fence=fence)
    return stores.read(store / audit.audit_id)


def _with_reports(folder: Path, *, pdf: bool) -> Audit:
    """The audit in `folder`, its reports drawn where one that is asked for is not there."""
    audit = stores.read(folder)
    if not all((folder / name).is_file() for name in ((HTML, PDF) if pdf else (HTML,))):
        redraw(folder, pdf=pdf)
    return audit


def _judge_again(
    asked: Request, measured: Path, store: Path, *, pdf: bool, progress: Progress, fence: Fence | None
) -> Audit:
    with stores.attempt(store, fence.label if fence else "") as folder, stores.faults_of_the_disk(store):
        shutil.copyfile(measured / stores.MEASUREMENTS, folder / stores.MEASUREMENTS)
        shutil.copytree(measured / stores.EXHIBITS, folder / stores.EXHIBITS)
        audit = rejudged(stores.read(measured), asked)
        kept = {exhibit.file for exhibit in audit.exhibits}
        for path in (folder / stores.EXHIBITS).iterdir():
            if f"{stores.EXHIBITS}/{path.name}" not in kept:
                path.unlink()
        _finish(audit, folder, store, pdf=pdf, replace=False, progress=progress, fence=fence)
    return stores.read(store / asked.audit_id)


def _finish(
    audit: Audit,
    folder: Path,
    store: Path,
    *,
    pdf: bool,
    replace: bool,
    progress: Progress,
    fence: Fence | None,
) -> None:
    stores.write_audit(audit, folder)
    with progress.stage("report", 1) as advance:
        render(audit, folder, pdf=pdf)
        advance(1)
    stores.publish(folder, store, audit.audit_id, replace=replace, fence=fence)
