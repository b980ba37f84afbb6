"""One audit from a path to a published folder: the library's front door."""

from pathlib import Path

from audit import policy as policies
from audit import store as stores
from audit.checkpoint.opening import open_checkpoint
from audit.known import earlier
from audit.progress import Progress, Silent
from audit.provenance import command_line
from audit.report.redraw import redraw
from audit.report.rendering import HTML, PDF, render
from audit.report.shelving import shelve
from audit.request import request
from audit.results import Audit, Plan
from audit.run import run
from audit.sharing import sharing
from audit.store import Fence


def audit_checkpoint(
    checkpoint: Path | str,
    plan: Plan | None = None,
    *,
    policy: Path | str | None = None,
    adapter: Path | str | None = None,
    model_root: Path | None = None,
    store: Path | str = "audits",
    pdf: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
    fence: Fence | None = None,
) -> Audit:
    """The published audit of a local checkpoint; it stands in `store / audit.audit_id`.

    An audit that exists is returned, not redone, unless `force`; under another policy the same measurements are
    judged again, and where audits in the store differ in their metrics alone, those that they lack are measured.
    The checkpoint must stand below `model_root`, if given, and its links may lead anywhere below it.
    `command` is what the audit records as the command that repeats it, by default this call as one.
    Where several attempts may be at the same job, `fence` decides which one becomes visible, and what one
    that died had measured is not measured again.
    Raises UnusableInput (bad checkpoint or option), NothingObserved, MachineFault.
    """
    plan, progress, store = plan or Plan(), progress or Silent(), Path(store)
    opened = open_checkpoint(
        Path(checkpoint),
        adapter=Path(adapter) if adapter else None,
        allow_pickle=plan.allow_pickle,
        model_root=model_root,
    )
    said = command or command_line(Path(checkpoint), plan, adapter=adapter, policy=policy, o=store)
    asked = request(opened, plan, policies.load(policy), command=said)
    if not force and stores.exists(store, asked.audit_id):
        return _with_reports(store / asked.audit_id, pdf=pdf)
    with stores.attempt(store, fence.label if fence else "") as folder, stores.faults_of_the_disk(store):
        kept = stores.partial(store, asked.audit_id, force=force) if fence else None
        with sharing(kept, asked.steps_id):
            audit = run(asked, folder, progress, **earlier(store, asked, folder, force=force)._asdict())
        stores.write_audit(audit, folder)
        with progress.stage("report", 1) as advance:
            render(audit, folder, pdf=pdf)
            advance(1)
        stores.publish(folder, store, audit.audit_id, replace=force, fence=fence)
        if kept:
            stores.forget_partial(kept)
    shelve(store)
    return stores.read(store / audit.audit_id)


def _with_reports(folder: Path, *, pdf: bool) -> Audit:
    """The audit in `folder`, its reports drawn where one that is asked for is not there, or its drawing was cut off."""
    audit = stores.read(folder)
    asked = (HTML, PDF) if pdf else (HTML,)
    if not all(name in stores.listed(folder) and (folder / name).is_file() for name in asked):
        redraw(folder, pdf=pdf)
    return audit
