"""The store: published audits in a folder, one folder each, that exist when their manifest exists.

An attempt writes into a hidden folder of its own inside the store and becomes visible by ONE rename, which fails when
the audit is there already: nothing half-made is ever seen, and of two attempts at the same audit one wins.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from audit.errors import MachineFault, OtherSchema, UnusableInput
from audit.identity import digest_of_file
from audit.results import SCHEMA_VERSION, Audit

MANIFEST = "manifest.json"
AUDIT = "audit.json"
MEASUREMENTS = "measurements.parquet"
EXHIBITS = "exhibits"
_ATTEMPT = ".attempt-"
_PARTIAL = ".partial-"
_OURS = {errno.ENOTEMPTY, errno.EEXIST}


@dataclass(frozen=True, slots=True)
class Entry:
    """A published audit and where it stands."""

    folder: Path
    audit: Audit


@dataclass(frozen=True, slots=True)
class Fence:
    """Who decides, where several attempts may be at the same work, which of them becomes visible."""

    label: str  # begins the name of the attempt's folder, so that one that died can be told and swept
    commit: Callable[[str], bool]  # asked with the audit's id right before the rename; False = not this one


class Superseded(MachineFault):
    """Another attempt owns the work; this one was not published."""


def refuse_file(store: Path) -> None:
    """Raise UnusableInput where the store is something else than a folder."""
    if store.exists() and not store.is_dir():
        raise UnusableInput(f"-o {str(store)!r} is a file: give the folder that audits are to stand in")


@contextmanager
def attempt(store: Path, label: str = "") -> Iterator[Path]:
    """A folder to write an audit into; whatever is still there at the end is removed."""
    refuse_file(store)
    fresh = not store.exists()
    with faults_of_the_disk(store):
        store.mkdir(parents=True, exist_ok=True)
        if fresh:
            _put_on_disk(store.parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{_ATTEMPT}{label}", dir=store))
        folder.chmod(0o755)  # mkdtemp's 0700 would hide the published audit from other readers
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if fresh:
            with suppress(OSError):  # holds an audit by now: stays
                store.rmdir()


def write_audit(audit: Audit, folder: Path) -> None:
    """Write `audit.json`: sorted keys, two-space indent, UTF-8, a newline at the end."""
    data = msgspec.json.format(msgspec.json.encode(audit, order="sorted"), indent=2)
    (folder / AUDIT).write_bytes(data + b"\n")


def write_manifest(folder: Path) -> None:
    """List every file of `folder` with its digest; written once they are on disk, replaced in one step."""
    everything = sorted(path for path in folder.rglob("*") if path.name != MANIFEST)
    digests = {p.relative_to(folder).as_posix(): digest_of_file(p) for p in everything if p.is_file()}
    for path in (*everything, folder):
        _put_on_disk(path)
    temporary = folder / f".{MANIFEST}"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(digests), indent=2) + b"\n")
    _put_on_disk(temporary)
    temporary.replace(folder / MANIFEST)
    _put_on_disk(folder)


def _put_on_disk(path: Path) -> None:
    """Return once a power cut cannot take the file, or the names in the folder, any more."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(
    folder: Path, store: Path, audit_id: str, *, replace: bool = False, fence: Fence | None = None
) -> Path:
    """Make the finished attempt visible as `store/audit_id`; the one that is there stays, unless replaced.

    Raises Superseded where the fence says no: the last thing asked before the rename.
    """
    target = store / audit_id
    with faults_of_the_disk(store):
        write_manifest(folder)
        if fence and not fence.commit(audit_id):
            raise Superseded(
                f"audit {audit_id} was not published: its job is another attempt's or was cancelled"
            )
        if replace and target.exists():
            target.rename(Path(tempfile.mkdtemp(prefix=_ATTEMPT, dir=store)) / "replaced")
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in _OURS:
                raise
        _put_on_disk(store)
    for left in store.glob(f"{_ATTEMPT}*/replaced"):
        shutil.rmtree(left.parent, ignore_errors=True)
    return target


def attempts(store: Path) -> dict[Path, str]:
    """Folders of attempts, under way or left by a death, and the end of their names, which begins with the label."""
    return {folder: folder.name.removeprefix(_ATTEMPT) for folder in store.glob(f"{_ATTEMPT}*")}


def partial(store: Path, audit_id: str, *, force: bool = False) -> Path:
    """The folder of what attempts at that audit have made so far; may not be there.

    Those that `force` it begin with nothing of those that do not.
    """
    return store / f"{_PARTIAL}{audit_id}{'-forced' if force else ''}"


def forget_partial(folder: Path) -> None:
    """Remove it, if it is there: at once for all who look for it."""
    with suppress(OSError):
        gone = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
        try:
            folder.replace(gone)
        finally:
            shutil.rmtree(gone, ignore_errors=True)


def partials(store: Path) -> list[Path]:
    """The folders of unfinished measurements; each is safe to remove and costs its next attempt a while."""
    return sorted(store.glob(f"{_PARTIAL}*"))


def exists(store: Path, audit_id: str) -> bool:
    """Whether that audit was published."""
    return (store / audit_id / MANIFEST).is_file()


def listed(folder: Path) -> dict[str, str]:
    """Digest of each file that the manifest of a published audit lists."""
    return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, str])


def read(folder: Path) -> Audit:
    """The audit in `folder`; UnusableInput when there is none, it is of another schema or it was edited."""
    if not (folder / MANIFEST).is_file():
        raise UnusableInput(f"no published audit in {str(folder)!r}: it has no {MANIFEST}")
    try:
        data = (folder / AUDIT).read_bytes()
        digests = listed(folder)
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("schema_version")
        if version is None or bytes(version) != f'"{SCHEMA_VERSION}"'.encode():
            raise OtherSchema(
                f"{str(folder / AUDIT)!r} has schema {version!r}; this version reads {SCHEMA_VERSION}"
            )
        audit = msgspec.json.decode(data, type=Audit)
    except FileNotFoundError as error:
        raise UnusableInput(f"{error.filename!r} is missing: run the audit again with --force") from None
    except msgspec.DecodeError as error:
        raise UnusableInput(
            f"{str(folder)!r} holds a damaged audit ({error}): run it again with --force"
        ) from None
    if digests.get(AUDIT) != digest_of_file(folder / AUDIT):
        raise UnusableInput(
            f"{str(folder / AUDIT)!r} was edited after publication: its digest is not the manifest's"
        )
    return audit


def refuse_edited(folder: Path, *, spare: Sequence[str]) -> None:
    """Raise UnusableInput where a file of a published audit is not what its manifest says; `spare` may differ."""
    for name, digest in listed(folder).items():
        path = folder / name
        if name not in spare and not (path.is_file() and digest_of_file(path) == digest):
            raise UnusableInput(
                f"{str(path)!r} was edited or lost after publication: run the audit again with --force"
            )


def entries(store: Path, damaged: Callable[[str], None] | None = None) -> tuple[Entry, ...]:
    """Every published audit of the store, newest first; folders without a manifest are not audits.

    One that cannot be read is passed to `damaged` as a line that names it; without that it is an error.
    """
    if not store.is_dir():
        raise UnusableInput(f"no store at {str(store)!r}: name the folder given to `attnaudit run -o`")
    found = []
    for folder in published(store):
        try:
            found.append(Entry(folder, read(folder)))
        except UnusableInput as error:
            if damaged is None:
                raise
            damaged(str(error))
    return tuple(sorted(found, key=lambda entry: entry.audit.provenance.started, reverse=True))


def measured(store: Path, measurement_id: str) -> Path | None:
    """The folder of a published audit with these measurements, whatever policy judged them."""
    return next(_saying(store, "measurement_id", measurement_id), None)


def of_checkpoint(store: Path, digest: str) -> Iterator[Path]:
    """Folders of the published audits of a checkpoint with that digest; told by a look, not read."""
    return _saying(store, "digest", digest)


def _saying(store: Path, key: str, value: str) -> Iterator[Path]:
    wanted = f'"{key}": "{value}"'.encode()
    whole = (f for f in published(store) if (f / AUDIT).is_file())
    return (f for f in whole if wanted in (f / AUDIT).read_bytes())


def find(store: Path, audit_id: str) -> Entry:
    """The audit whose id begins with `audit_id`; UnusableInput unless exactly one does."""
    if not store.is_dir():
        raise UnusableInput(f"no store at {str(store)!r}: name the folder given to `attnaudit run -o`")
    names = [folder.name for folder in published(store) if folder.name.startswith(audit_id)]
    if len(names) != 1:
        what = "no audit" if not names else f"{len(names)} audits"
        raise UnusableInput(f"{what} in {str(store)!r} with an id that begins with {audit_id!r}")
    return Entry(store / names[0], read(store / names[0]))


def published(store: Path) -> list[Path]:
    """Folders of published audits; an attempt that died right before its rename has a manifest and is none."""
    folders = sorted(store.iterdir()) if store.is_dir() else []
    return [f for f in folders if not f.name.startswith(_ATTEMPT) and (f / MANIFEST).is_file()]


@contextmanager
def faults_of_the_disk(place: Path) -> Iterator[None]:
    """Turn what a disk refuses into one clear line."""
    try:
        yield
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        raise MachineFault(
            f"cannot write to {str(place)!r}: {what}; free space, or give another folder with -o. Nothing was published"
        ) from error
