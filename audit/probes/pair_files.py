"""A user's own terms and templates: JSON Lines, CSV or Parquet with the columns group, term and template.

One row per sentence. `template` holds `{person}` where the term stands and may mark one *attribute* with asterisks;
`group` names one of the two groups of the row's `axis` (optional, for several axes in one file). A term is fed in the
templates it is listed with; terms of the two groups are matched as the built-in ones are.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from audit.definitions import SLOT, Axis, PairProbe
from audit.errors import UnusableInput
from audit.probes.files import READERS, check_file
from audit.probes.readers import Row

COLUMNS = ("group", "term", "template")
OWN_AXIS = "own pairs"
LONGEST_NAME = 60  # characters of an axis: it names findings


class _Listed(NamedTuple):
    """A row that was found usable."""

    axis: str
    group: str
    term: str
    template: str


def holds_pairs(spec: str) -> bool:
    """Whether `spec` is a file with columns of pairs, be it not all; what cannot be read is left for the reader to refuse."""
    path = Path(spec)
    if path.suffix.lower() not in READERS or path.suffix.lower() == ".txt" or not path.is_file():
        return False
    check_file(path)
    columns = set(READERS[path.suffix.lower()](path, ()).columns)
    return "text" not in columns and len(columns.intersection(COLUMNS)) >= 2  # the third is asked for by name


def read_pairs(spec: str) -> PairProbe:
    """The private probe that a file of pairs describes, read whole and checked.

    Raises:
        UnusableInput: a column is missing, a value is empty, a template has no {person}, an axis has other than two
            groups, or a term stands in both; the line names file and row. No text of the file is quoted.
        MachineFault: the machine could not read it.
    """
    path = Path(spec)
    columns, rows = READERS[path.suffix.lower()](path, (*COLUMNS, "axis"))
    for name in COLUMNS:
        if name not in columns:
            raise UnusableInput(
                f"probe file {path.name!r} has no column {name!r}; pairs need group, term and template"
            )
    listed = [_listed(path.name, row) for row in rows]
    by_axis: dict[str, list[_Listed]] = {}
    for row in listed:
        by_axis.setdefault(row.axis, []).append(row)
    axes = tuple(_axis(path.name, name, of_axis) for name, of_axis in by_axis.items())
    if not axes:
        raise UnusableInput(f"probe file {path.name!r} holds no rows; give each group its terms")
    return PairProbe(
        name=path.name,
        title=f"{path.name} (own pairs)",
        summary=f"{len(listed)} sentences of a file of the user's own",
        licence="the user's own",
        axes=partial(tuple, axes),
        private=True,
    )


def _listed(file: str, row: Row) -> _Listed:
    for name in (*COLUMNS, "axis"):
        value = row.values.get(name, OWN_AXIS if name == "axis" else None)
        if not isinstance(value, str) or not value.strip():
            raise UnusableInput(
                f"probe file {file!r}, row {row.number}, column {name!r}: empty or no text; fill it in"
            )
    template = str(row.values["template"])
    if template.count(SLOT) != 1:
        raise UnusableInput(
            f"probe file {file!r}, row {row.number}, column 'template': {SLOT} must stand in it once, for the term"
        )
    if template.count("*") not in {0, 2}:
        raise UnusableInput(
            f"probe file {file!r}, row {row.number}, column 'template': one *attribute* between two asterisks, or none"
        )
    axis = str(row.values.get("axis", OWN_AXIS))
    if len(axis) > LONGEST_NAME or not axis.isprintable():
        raise UnusableInput(
            f"probe file {file!r}, row {row.number}, column 'axis': a name is one line of at most {LONGEST_NAME} "
            "printable characters; shorten it"
        )
    return _Listed(axis, str(row.values["group"]), str(row.values["term"]), template)


def _axis(file: str, name: str, rows: Sequence[_Listed]) -> Axis:
    groups = _distinct(row.group for row in rows)
    if len(groups) != 2:
        raise UnusableInput(
            f"probe file {file!r}: an axis needs two groups, and one of its axes has {len(groups)}; list terms of two"
        )
    terms = tuple(_distinct(row.term for row in rows if row.group == group) for group in groups)
    if set(terms[0]) & set(terms[1]):
        raise UnusableInput(f"probe file {file!r}: a term stands in both groups of an axis; give it to one")
    place = {template: i for i, template in enumerate(_distinct(row.template for row in rows))}
    number = {
        (group, term): i
        for i, (group, term) in enumerate((g, t) for g, of in zip(groups, terms, strict=True) for t in of)
    }
    return Axis(
        name=name,
        title=name,
        groups=(groups[0], groups[1]),
        terms=(terms[0], terms[1]),
        templates=tuple(place),
        limits="The user's own terms and templates.",
        rows=frozenset((place[row.template], number[row.group, row.term]) for row in rows),
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
