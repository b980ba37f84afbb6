"""Turns the rows of a user's file into documents, refusing what cannot be fed."""

from collections.abc import Mapping, Sequence
from typing import Any

from audit.definitions import Document
from audit.errors import UnusableInput
from audit.probes.readers import Row


def documents_of(rows: Sequence[Row], *, columns: Mapping[str, str], file: str) -> tuple[Document, ...]:
    """One document per row: its text, and the name of the cluster it belongs to.

    `columns` gives the column of each role that the file has. Messages name `file`, row and column and quote nothing.

    Raises:
        UnusableInput: a text that is absent, empty, no string or no valid Unicode; a name that is absent; an id twice.
    """
    cluster = columns.get("document")
    documents = []
    first_rows: dict[str, int] = {}
    for row in rows:
        identity = str(row.number)
        if "id" in columns:
            identity = _label(file, row, columns["id"])
            if first_rows.setdefault(identity, row.number) != row.number:
                raise UnusableInput(
                    f"probe file {file!r}, row {row.number}: {columns['id']!r} repeats that of row "
                    f"{first_rows[identity]}; name passages of one document in a column 'document'"
                )
        if cluster:
            identity = _label(file, row, cluster)
        documents.append(Document(id=identity, text=_text(file, row, columns["text"])))
    return tuple(documents)


def _text(file: str, row: Row, column: str) -> str:
    text = row.values.get(column)
    if not isinstance(text, str):
        raise _unusable(file, row, column, _kind(text), "every text must be a string")
    if not text.strip():
        raise _unusable(file, row, column, "empty", "fill it in or remove the row")
    _check_unicode(file, row, column, text)
    return text


def _label(file: str, row: Row, column: str) -> str:
    value = row.values.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        found = "empty" if value == "" else _kind(value)
        raise _unusable(file, row, column, found, "every row needs a string or a whole number there")
    _check_unicode(file, row, column, str(value))
    return str(value)


def _check_unicode(file: str, row: Row, column: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _unusable(
            file, row, column, "not valid Unicode (half a surrogate pair)", "repair it"
        ) from error


def _kind(value: Any) -> str:
    return "absent" if value is None else f"of type {type(value).__name__}"


def _unusable(file: str, row: Row, column: str, found: str, advice: str) -> UnusableInput:
    return UnusableInput(f"probe file {file!r}, row {row.number}, column {column!r}: {found}; {advice}")
