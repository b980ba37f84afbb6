"""Reads the rows of a user's file through `datasets`: offline, in memory, nothing guessed from the values."""

import csv
import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow.parquet
from datasets.exceptions import DatasetsError

from audit.errors import MachineFault, UnusableInput

SEPARATORS = ("---", "\f")


class Row(NamedTuple):
    """One record and its number as a person counts: from 1, and the header of a CSV file is not a row."""

    number: int
    values: Mapping[str, Any]


class Table(NamedTuple):
    """What a file holds: the names of all its columns, and rows with those that were asked for."""

    columns: tuple[str, ...]
    rows: list[Row]


def read_txt(path: Path, wanted: Collection[str]) -> Table:
    """One document per file, or several parted by lines that hold only `---` or a form feed; column `text`."""
    del wanted  # there is one column
    table = _load(datasets.Dataset.from_text, path, encoding="utf-8-sig", sample_by="document")
    documents: list[list[str]] = [[]]
    for line in "".join(table["text"]).split("\n"):
        if line.strip(" \t") in SEPARATORS:
            documents.append([])
        else:
            documents[-1].append(line)
    texts = ["\n".join(lines).strip() for lines in documents]
    if not texts[-1]:  # a separator may also end the file
        texts.pop()
    return Table(("text",), [Row(number, {"text": text}) for number, text in enumerate(texts, 1)])


def read_jsonl(path: Path, wanted: Collection[str]) -> Table:
    """One JSON object per line; blank lines are counted and skipped.

    The lines are parsed here: `datasets` would guess types from the values, turning a text that looks like a date
    into a date, and could not name the broken line.
    """
    table = _load(datasets.Dataset.from_text, path, encoding="utf-8-sig", sample_by="line")
    columns: dict[str, None] = {}
    rows = []
    for number, line in enumerate(table["text"], 1):
        if line.strip():
            record = _json_object(path, number, line)
            columns |= dict.fromkeys(record)
            rows.append(Row(number, {name: record[name] for name in wanted if name in record}))
    return Table(tuple(columns), rows)


def read_csv(path: Path, wanted: Collection[str], *, separator: str = ",") -> Table:
    """Separated values with a header line; every value is taken as text, `NA` and numbers included."""
    header, empty = _csv_start(path, separator)
    if empty:
        return Table(header, [])
    converters = dict.fromkeys(range(len(header)), str)
    table = _load(
        datasets.Dataset.from_csv,
        path,
        encoding="utf-8-sig",
        converters=converters,
        na_filter=False,
        sep=separator,
    )
    if len(table.column_names) != len(header):  # the surplus was taken for row labels
        raise UnusableInput(
            f"probe file {path.name!r}, row 1: more values than the header has columns; quote texts that hold commas"
        )
    return _table(table, wanted)


def read_parquet(path: Path, wanted: Collection[str]) -> Table:
    """The rows of a Parquet file."""
    try:
        metadata = pyarrow.parquet.read_metadata(path)
    except pyarrow.ArrowException as error:
        raise _unreadable(path, error) from error
    if not metadata.num_rows:  # `datasets` fails on a file without rows
        return Table(tuple(metadata.schema.to_arrow_schema().names), [])
    return _table(_load(datasets.Dataset.from_parquet, path), wanted)


def _table(table: datasets.Dataset, wanted: Collection[str]) -> Table:
    names = [name for name in table.column_names if name in wanted]
    rows = enumerate(table.select_columns(names), 1) if names else ()
    return Table(tuple(table.column_names), [Row(number, values) for number, values in rows])


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise UnusableInput(
            f"probe file {path.name!r}, row {number}: broken JSON ({error.msg}, column {error.colno}); "
            "write one complete JSON object per line"
        ) from error
    except (RecursionError, ValueError) as error:
        raise UnusableInput(
            f"probe file {path.name!r}, row {number}: JSON beyond any sensible limit; simplify it"
        ) from error
    if not isinstance(record, dict):
        raise UnusableInput(
            f"probe file {path.name!r}, row {number}: {type(record).__name__} in place of a JSON object; "
            'write {"text": "..."} on each line'
        )
    return record


def _csv_start(path: Path, separator: str) -> tuple[tuple[str, ...], bool]:
    """The names of the columns, and whether nothing follows them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header = tuple(next(filter(None, csv.reader(lines, delimiter=separator)), ()))
            empty = not any(line.strip() for line in lines)
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UnusableInput(
            f"probe file {path.name!r}: column {twice[0]!r} stands twice in the header; rename one"
        )
    return header, empty


def _load(reader: Callable[..., datasets.Dataset], path: Path, **options: Any) -> datasets.Dataset:
    """The rows of `path`, by one of the readers of `datasets`.

    The file is linked under a plain name into the temporary cache, since `datasets` takes a path for a pattern or
    an address when it holds `*`, `[` or `://`.
    """
    with tempfile.TemporaryDirectory(prefix="attnaudit-") as folder, _quiet():
        link = Path(folder) / "probe"
        link.symlink_to(path.resolve())
        try:
            return reader(str(link), cache_dir=folder, keep_in_memory=True, **options)
        except (pyarrow.ArrowException, DatasetsError, ValueError) as error:
            raise _unreadable(path, _root(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and log lines of `datasets`: what is wrong is said in our error."""
    level = datasets.logging.get_verbosity()
    bars = not datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _unreadable(path: Path, error: BaseException) -> UnusableInput | MachineFault:
    if isinstance(error, UnicodeDecodeError):
        return UnusableInput(
            f"probe file {path.name!r}, line {_undecodable_line(path)}: not UTF-8; save the file as UTF-8"
        )
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, OSError) and error.errno is not None:
        return MachineFault(f"probe file {path.name!r} could not be read: {reason}")
    return UnusableInput(f"probe file {path.name!r} is not a readable {path.suffix} file: {reason}")


def _undecodable_line(path: Path) -> int:
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 1
