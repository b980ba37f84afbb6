"""Measures pieces of an audit that another process makes, and publishes nothing."""

from contextlib import suppress
from pathlib import Path

from audit import policy as policies
from audit import store as stores
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import feeds_of
from audit.known import Known, known
from audit.measuring import helped
from audit.progress import Progress
from audit.request import request
from audit.results import Plan
from audit.run import ready


def help_audit(
    checkpoint: Path,
    plan: Plan,
    *,
    policy: Path | str | None,
    adapter: Path | None,
    model_root: Path,
    store: Path,
    force: bool,
    progress: Progress,
) -> None:
    """Measure what is free of that audit until nothing is; the attempt that publishes it finds it in `store`.

    Nothing is done where the audit is published already. Raises UnusableInput, MachineFault.
    """
    opened = open_checkpoint(
        checkpoint, adapter=adapter, allow_pickle=plan.allow_pickle, model_root=model_root
    )
    asked = request(opened, plan, policies.load(policy), command="")
    kept = stores.partial(store, asked.measurement_id)
    with stores.faults_of_the_disk(store):
        kept.mkdir(parents=True, exist_ok=True)
    # looked up once the folder is there: whoever publishes from now on removes it, which ends the help
    if not force and stores.measured(store, asked.measurement_id):
        with suppress(OSError):
            kept.rmdir()
        return
    with progress.stage("load", 1) as advance:
        loaded = ready(asked, kept)
        feeds, _ = feeds_of(asked, loaded)
        advance(1)
    earlier = Known(asked) if force else known(store, asked)
    helped(earlier, loaded, feeds, kept=kept, progress=progress)
