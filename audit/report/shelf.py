"""What the store's front page says of each audit: one small row, kept beside the store so that none is read twice."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from audit import store as stores
from audit.batch import FOLDER as BATCHES
from audit.batch import RECORD
from audit.errors import UnusableInput
from audit.report.places import name_of
from audit.report.rendering import HTML
from audit.results import Audit, Verdict

ROWS: Final = ".catalogue.json"
COMPARISONS: Final = "comparisons"  # a folder of the store for what `compare` and `trend` write
READ_AT_ONCE: Final = 64  # audits that one publication may read; the others follow with the next ones
_LINKS: Final = 200  # batches and comparisons, the newest
_STEP: Final = re.compile(r"^(checkpoint|step|global_step|epoch|iter)[-_]?\d+$", re.IGNORECASE)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One audit; `damaged` says why nothing else is known of it."""

    stamp: str  # of its files: another one, and it is read again
    damaged: str | None = None
    name: str = ""
    model: str = ""  # what its audits are lined up under: steps of one training are one model
    about: str = ""
    verdict: Verdict | None = None
    failing: int = 0
    watched: int = 0
    observed: int = 0
    layers: int = 0
    depth: str = ""
    policy: str = ""
    started: str = ""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: made anew where it is lost or of another version."""

    version: int
    rows: dict[str, Row]


class Link(NamedTuple):
    """A batch, a comparison or a trend."""

    href: str
    name: str
    note: str


_VERSION: Final = 1


def rows_of(store: Path, *, everything: bool = False) -> tuple[dict[str, Row], int]:
    """The row of each published audit by its id, and how many audits are left for the next time.

    What is known already is not read again; of what is not, the newest are, `READ_AT_ONCE` unless `everything`.
    """
    known = _kept(store)
    stamps = {folder: _stamp(folder) for folder in stores.published(store)}
    rows = {
        folder.name: known[folder.name]
        for folder, stamp in stamps.items()
        if folder.name in known and known[folder.name].stamp == stamp
    }
    fresh = sorted((f for f in stamps if f.name not in rows), key=lambda f: stamps[f], reverse=True)
    now = fresh if everything else fresh[:READ_AT_ONCE]
    return rows | {folder.name: _row(folder, stamps[folder]) for folder in now}, len(fresh) - len(now)


def keep(store: Path, rows: Mapping[str, Row]) -> None:
    """Write the rows for the next time, in one step."""
    fresh = store / f"{ROWS}.new"
    fresh.write_bytes(msgspec.json.encode(Rows(version=_VERSION, rows=dict(rows))))
    fresh.replace(store / ROWS)


def by_model(rows: Mapping[str, Row]) -> dict[str, list[tuple[str, Row]]]:
    """The audits of each model, oldest first; the model audited last comes first."""
    found: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    for audit_id, row in sorted(rows.items(), key=lambda each: (each[1].started, each[0])):
        if row.damaged is None:
            found[row.model].append((audit_id, row))
    return dict(sorted(found.items(), key=lambda each: each[1][-1][1].started, reverse=True))


def batches_of(store: Path) -> tuple[Link, ...]:
    """The published batches, the newest first."""
    return tuple(_batch(folder) for folder in _newest(stores.published(store / BATCHES)))


def comparisons_of(store: Path) -> tuple[Link, ...]:
    """The pages in the store's folder for comparisons, the newest first."""
    pages = _newest((store / COMPARISONS).glob("*.html"))
    return tuple(Link(href=f"./{COMPARISONS}/{quote(page.name)}", name=page.stem, note="") for page in pages)


def model_of(path: str) -> str:
    """What the checkpoint at `path` is a version of: its own name, or for a step of a training that of its folder."""
    parts = [part for part in path.replace("\\", "/").split("/") if part]
    while len(parts) > 1 and _STEP.match(parts[-1]):
        parts.pop()
    return name_of("/".join(parts))


def _kept(store: Path) -> Mapping[str, Row]:
    try:
        kept = msgspec.json.decode((store / ROWS).read_bytes(), type=Rows)
    except (OSError, msgspec.DecodeError):
        return {}
    return kept.rows if kept.version == _VERSION else {}


def _stamp(folder: Path) -> str:
    """Later ones sort behind earlier ones."""
    try:
        manifest, audit = (folder / stores.MANIFEST).stat(), (folder / stores.AUDIT).stat()
    except OSError:
        return "0"
    return f"{manifest.st_mtime_ns:020d}-{audit.st_mtime_ns}-{audit.st_size}"


def _row(folder: Path, stamp: str) -> Row:
    try:
        return row_of(stores.read(folder), stamp)
    except UnusableInput as error:
        return Row(stamp=stamp, damaged=str(error))


def row_of(audit: Audit, stamp: str) -> Row:
    """What the page says of one audit."""
    severities, subject = Counter(finding.severity for finding in audit.findings), audit.subject
    return Row(
        stamp=stamp,
        name=name_of(audit.provenance.path),
        model=model_of(audit.provenance.path),
        about=f"{subject.architecture}, {subject.parameters:,} parameters",
        verdict=audit.verdict,
        failing=severities["fail"],
        watched=severities["watch"],
        observed=sum(layer.observed for layer in audit.coverage.layers),
        layers=len(audit.coverage.layers),
        depth=str(audit.plan.get("depth", "")),
        policy=audit.policy.name,
        started=audit.provenance.started,
    )


class _Batch(msgspec.Struct, frozen=True):
    name: str
    started: str
    exit_code: int
    rows: tuple[msgspec.Raw, ...]


def _batch(folder: Path) -> Link:
    href = f"./{BATCHES}/{quote(folder.name)}/{HTML}"
    try:
        said = msgspec.json.decode((folder / RECORD).read_bytes(), type=_Batch)
    except (OSError, msgspec.DecodeError):
        return Link(href=href, name=folder.name, note="its record cannot be read")
    count = f"{len(said.rows)} checkpoint{'' if len(said.rows) == 1 else 's'}"
    return Link(href=href, name=said.name, note=f"{said.started[:10]}, {count}, exit code {said.exit_code}")


def _newest(paths: Iterable[Path]) -> list[Path]:
    dated = sorted(((path.stat().st_mtime_ns, path.name, path) for path in paths), reverse=True)
    return [path for *_, path in dated[:_LINKS]]
