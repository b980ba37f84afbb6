"""What a schedule asked for and got: a dated record for each slot, that points at its audit, new or not."""

import datetime as dt
import logging
from pathlib import Path
from typing import Final, Literal

import msgspec

from audit import store as stores
from audit.errors import AuditError
from workers import files

FOLDER: Final = "records"  # below the store
SLOT: Final = "slot-"  # how the ids of such jobs begin
_LOG = logging.getLogger(__name__)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of a schedule, answered."""

    schema_version: Literal["1.0"] = "1.0"
    job: str
    requested_by: str
    checkpoint: str
    date: str  # ISO 8601, UTC
    audit_id: str
    verdict: str
    audited: str  # when the audit was made: long ago where nothing has changed


def leave(store: Path, *, job: str, requested_by: str, checkpoint: str, audit_id: str) -> None:
    """Write the record of a slot's job that is about to be published; nothing for other jobs, nothing twice."""
    path = store / FOLDER / f"{job}.json"
    if not job.startswith(SLOT) or path.exists():
        return
    try:
        audit = stores.read(store / audit_id)
        record = Record(
            job=job,
            requested_by=requested_by,
            checkpoint=checkpoint,
            date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            audit_id=audit_id,
            verdict=audit.verdict,
            audited=audit.provenance.started,
        )
        files.replace(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    except (AuditError, OSError) as error:
        _LOG.error("job %s: its dated record could not be written: %s", job, error)
