"""The promises, held to the store and to the jobs as a client sees them."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec
from jsonschema.protocols import Validator

from audit import store as stores
from audit.identity import digest_of_file
from audit.report.rendering import HTML, PDF
from tests.chaos.plan import ATTEMPTS, BACK, Asked
from tests.chaos.service import until
from workers.client import Client
from workers.jobs import Job
from workers.schedule import dated

_PUBLISHED = f"[!.]*/{stores.MANIFEST}"  # hidden folders are attempts
_END = {HTML: b"</html>", PDF: b"%%EOF"}


class Reader:
    """Somebody who reads the store all the while: what is visible is whole, and stays the same folder."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.folders: dict[str, int] = {}  # audit to inode of the folder that became visible first
        self.torn: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()

    def _read(self) -> None:
        while not self._over.wait(0.3):
            self.look()

    def look(self) -> None:
        """Hold each audit that is new to its manifest, and each known one to its folder."""
        for manifest in self._store.glob(_PUBLISHED):
            folder = manifest.parent
            inode = folder.stat().st_ino
            if folder.name not in self.folders:
                self.folders[folder.name] = inode
                self.torn += damage(folder)
            elif self.folders[folder.name] != inode:
                self.torn.append(f"{folder.name} was replaced")


def damage(folder: Path) -> list[str]:
    """What is wrong with a published audit: a file that is not what the manifest says, or ends too early."""
    files = stores.listed(folder)
    found = [
        f"{folder.name}/{name} is torn"
        for name, digest in files.items()
        if not (folder / name).is_file() or digest_of_file(folder / name) != digest
    ]
    for name, end in _END.items():
        if name in files and not (folder / name).read_bytes().rstrip().endswith(end):
            found.append(f"{folder.name}/{name} ends too early")
    return found + [
        f"{folder.name} holds no {name}"
        for name in (stores.AUDIT, stores.MEASUREMENTS, HTML)
        if name not in files
    ]


def hold(
    jobs: Sequence[Job], asked: Sequence[Asked], store: Path, schema: Validator, others: Sequence[Job]
) -> None:
    """AssertionError where a promise was broken; `others` are jobs of the schedule."""
    audits: dict[int, set[str]] = {}
    with_pdf = set()
    for job, ask in zip(jobs, asked, strict=True):
        assert job.state in {"published", "quarantined"}, f"{job.id} is {job.state}: {job.reason}"
        assert job.attempt <= ATTEMPTS, f"{job.id} had {job.attempt} attempts"
        assert len(job.deaths) <= job.attempt, f"{job.id} died {len(job.deaths)} times"
        if job.audit_id:
            audits.setdefault(ask.seed, set()).add(job.audit_id)
            if ask.pdf:
                with_pdf.add(job.audit_id)
    assert all(len(ids) == 1 for ids in audits.values()), "an audit has two ids"
    named = {audit_id for ids in audits.values() for audit_id in ids}
    assert len(named) == len(audits), "two audits share an id"
    slots = {job.id: job.audit_id for job in others if job.audit_id}
    records = {path.stem for path in (store / dated.FOLDER).glob("[!.]*.json")}
    assert records == set(slots), f"dated records and slots differ: {sorted(records ^ set(slots))[:5]}"
    named |= set(slots.values())
    reports = {path.parent for path in store.glob(_PUBLISHED)}
    assert {folder.name for folder in reports} == named, f"{len(reports)} reports for {len(named)} audits"
    for folder in reports:
        assert not (found := damage(folder)), found
        files = stores.listed(folder)
        there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert there == {*files, stores.MANIFEST}, f"{folder.name} holds {there ^ {*files, stores.MANIFEST}}"
        assert (PDF in files) >= (folder.name in with_pdf), f"{folder.name} lacks its PDF"
        schema.validate(msgspec.json.decode((folder / stores.AUDIT).read_bytes()))
        assert stores.read(folder).audit_id == folder.name
    until(lambda: not stores.attempts(store), seconds=60, what="folders of attempts are left")


def hold_list(client: Client, ids: set[str]) -> None:
    """The list of jobs holds each accepted one, and only those."""
    listed = [job.id for job in client.jobs(limit=10_000)]
    assert len(listed) == len(set(listed)), "a job is listed twice"
    assert set(listed) == ids, f"listed or accepted only: {sorted(set(listed) ^ ids)[:5]}"


def written(store: Path) -> dict[Path, int]:
    """When each report became visible, or was drawn again."""
    return {path: path.stat().st_mtime_ns for path in store.glob(_PUBLISHED)}


def hold_returns(seconds: dict[str, list[float]], *, cold: float) -> None:
    """Work that lost its worker or its server goes on in time.

    On a machine on which a first job waits `cold` seconds for its worker to start, nothing being killed, four times
    that are allowed where it is more.
    """
    for kind, found in seconds.items():
        assert max(found) <= max(BACK, 4 * cold), (
            f"after a blow to {kind} work stood still for {max(found):.0f} s"
        )
