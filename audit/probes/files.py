"""A user's own file as a probe: TXT, JSON Lines, CSV or Parquet.

Columns: `text` (required) is what is fed. `document` names what a row belongs to: rows of the same
document are one cluster of the statistics. `id` names a row that stands for itself and may not repeat; without any of
these a row is named by its number. A TXT file is one document, or several parted by lines that hold only `---` or a
form feed. Other column names are mapped on the command line: `FILE:text=COLUMN,document=COLUMN`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from audit.definitions import Probe
from audit.errors import UnusableInput, unknown_name
from audit.probes.readers import Table, read_csv, read_jsonl, read_parquet, read_txt
from audit.probes.rows import documents_of

ROLES = ("text", "id", "document")
READERS: Mapping[str, Callable[[Path, Collection[str]], Table]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
MAPPED = re.compile(r"(?P<path>.+?):(?P<mapping>\w+=.*)", re.DOTALL)


class FileSpec(NamedTuple):
    """A probe as the command line names it: a file, and the columns named otherwise than their roles."""

    path: Path
    columns: Mapping[str, str]  # role -> column


def looks_like_file(spec: str) -> bool:
    """Whether `spec` means a file: it exists, or its name ends like one; else it is the name of a probe."""
    path = _split(spec)[0]
    return path.is_file() or path.suffix.lower() in READERS


def parse_spec(spec: str) -> FileSpec:
    """`FILE` or `FILE:text=COLUMN,id=COLUMN` taken apart; a file of exactly that name goes before a mapping.

    Raises:
        UnusableInput: an unknown role, a role given twice, or no column after the equals sign.
    """
    path, mapping = _split(spec)
    columns: dict[str, str] = {}
    for pair in mapping.split(",") if mapping else ():
        role, _, column = pair.partition("=")
        if role not in ROLES:
            raise unknown_name("column role", role, list(ROLES))
        if role in columns or not column:
            raise UnusableInput(f"probe {spec!r}: write {role}=COLUMN once, with the name of a column")
        columns[role] = column
    return FileSpec(path, columns)


def read_probe_file(spec: str) -> Probe:
    """The private probe that `FILE[:role=COLUMN,...]` describes, read whole and checked.

    Its name is the name of the file, ending included, so that it cannot be mistaken for a built-in probe.

    Raises:
        UnusableInput: the file is missing, empty, broken or not UTF-8, lacks a column, or has an unusable row; the
            line names file, column and row. No text of the file is quoted.
        MachineFault: the machine could not read it.
    """
    path, mapped = parse_spec(spec)
    check_file(path)
    names = {role: mapped.get(role, role) for role in ROLES}
    columns, rows = READERS[path.suffix.lower()](path, names.values())
    for role in ("text", *mapped) if columns else ():
        _check_column(path, names[role], columns)
    if not rows:
        raise UnusableInput(f"probe file {path.name!r} holds no rows; give it at least one text")
    used = {role: name for role, name in names.items() if name in columns}
    documents = documents_of(rows, columns=used, file=path.name)
    return Probe(
        name=path.name,
        title=f"{path.name} (own texts)",
        summary=f"{len(rows)} texts of a file of the user's own",
        licence="the user's own",
        documents=lambda: documents,
        private=True,
    )


def _split(spec: str) -> tuple[Path, str]:
    match = None if Path(spec).is_file() else MAPPED.fullmatch(spec)
    return (Path(match["path"]), match["mapping"]) if match else (Path(spec), "")


def check_file(path: Path) -> None:
    """Raises unless `path` is a file that is not empty and whose kind can be read."""
    if path.is_file() and path.suffix.lower() not in READERS:
        raise UnusableInput(f"probe file {path.name!r}: the name must end in one of {' '.join(READERS)}")
    check_readable(path)


def check_readable(path: Path) -> None:
    """Raises unless `path` is a file that is not empty."""
    if not path.is_file():
        raise UnusableInput(
            f"probe file {str(path)!r} does not exist; give a file or a name from `attnaudit probes`"
        )
    try:
        with path.open("rb") as content:
            first = content.read(1)
    except OSError as error:
        raise UnusableInput(f"probe file {str(path)!r} cannot be read: {error.strerror}") from error
    if not first:
        raise UnusableInput(f"probe file {path.name!r} is empty; give it at least one text")


def _check_column(path: Path, name: str, columns: Collection[str]) -> None:
    if name not in columns:
        raise UnusableInput(
            f"probe file {path.name!r} has no column {name!r}, only {', '.join(map(repr, columns)) or 'none'}; "
            "map it with FILE:text=COLUMN"
        )
