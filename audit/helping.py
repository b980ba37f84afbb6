"""Goes through an audit beside the process that makes it, shares its steps, and publishes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from audit import policy as policies
from audit import store as stores
from audit.checkpoint.opening import open_checkpoint
from audit.known import earlier
from audit.progress import Advance, Progress
from audit.request import request
from audit.results import Plan
from audit.run import found
from audit.sharing import Unwanted, refuse_unwanted, sharing


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
    label: str = "",
) -> None:
    """Make what is free of that audit until it is published; the attempt that publishes it finds it in `store`.

    `label` is that of an attempt: what one that was killed leaves behind is found by it. Nothing is done where the
    audit is published already. Raises UnusableInput, NothingObserved, MachineFault.
    """
    opened = open_checkpoint(
        checkpoint, adapter=adapter, allow_pickle=plan.allow_pickle, model_root=model_root
    )
    asked = request(opened, plan, policies.load(policy), command="")
    kept = stores.partial(store, asked.audit_id, force=force)
    with (
        stores.attempt(store, label) as folder,
        stores.faults_of_the_disk(store),
        suppress(Unwanted),
        sharing(kept, asked.steps_id, helping=True),
    ):
        # looked up once the folder is there: whoever publishes from now on removes it, which ends the help
        if not force and stores.exists(store, asked.audit_id):
            with suppress(OSError):
                kept.rmdir()
        else:
            found(
                asked, folder, _WhileWanted(progress), **earlier(store, asked, folder, force=force)._asdict()
            )


class _WhileWanted:
    """Shows the stages as help, and ends where nobody wants it any more."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Open a stage; its steps raise Unwanted once the audit is over."""
        refuse_unwanted()
        with self._progress.stage(f"help: {name}", total) as advance:

            def advance_if_wanted(steps: int) -> None:
                advance(steps)
                refuse_unwanted()

            yield advance_if_wanted
