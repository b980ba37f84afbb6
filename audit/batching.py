"""A whole batch in this process: every checkpoint of a manifest audited, failures kept, one report over them."""

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from audit.auditor import audit_checkpoint
from audit.batch import Batch, Row, batch_of, row_of
from audit.errors import AuditError, InternalFault, MachineFault
from audit.manifest import Item, Manifest
from audit.progress import Progress
from audit.report.batch import publish_batch


class Batched(NamedTuple):
    """A finished batch and the folder of its report."""

    batch: Batch
    folder: Path


def audit_batch(
    manifest: Manifest,
    *,
    store: Path | str = "audits",
    pdf: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    command: str = "audit_batch(...)",
    told: Callable[[Row], None] = lambda _: None,
) -> Batched:
    """Audit every checkpoint of `manifest` and publish one report over them; audits that exist are not made again.

    A checkpoint that cannot be audited is a row with its reason, never the end of the batch. `told` gets each row as
    it comes. Raises MachineFault where the report cannot be written.
    """
    store = Path(store)
    started, clock = dt.datetime.now(dt.UTC), time.monotonic()
    rows = []
    for item in manifest.items:
        rows.append(audited(item, store=store, pdf=pdf, force=force, progress=progress, command=command))
        told(rows[-1])
    batch = batch_of(
        manifest.name, rows, started=started.isoformat(timespec="seconds"), seconds=time.monotonic() - clock
    )
    return Batched(batch, publish_batch(batch, store, pdf=pdf))


def audited(
    item: Item,
    *,
    store: Path,
    pdf: bool,
    force: bool,
    progress: Progress | None,
    command: str | None = None,
) -> Row:
    """What became of one checkpoint: a row of its audit in `store`, or of why there is none. Raises nothing."""
    try:
        audit = audit_checkpoint(
            item.checkpoint,
            item.plan,
            policy=item.policy,
            adapter=item.adapter,
            store=store,
            pdf=pdf,
            force=force,
            progress=progress,
            command=command,
        )
    except AuditError as error:
        return _failed(item, str(error), error.exit_code)
    except MemoryError:
        reason = "memory ran out; try a smaller batch_size or max_length"
        return _failed(item, reason, MachineFault.exit_code)
    except Exception as error:  # noqa: BLE001 - the next checkpoint may do better, and the report says it
        return _failed(
            item, f"a fault of ours: {type(error).__name__}: {error}"[:1_000], InternalFault.exit_code
        )
    return row_of(item.name, audit)


def _failed(item: Item, reason: str, code: int) -> Row:
    return Row(checkpoint=item.name, state="failed", reason=reason, exit_code=code)
