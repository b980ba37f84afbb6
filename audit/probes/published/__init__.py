"""Published data sets of stereotypes, read from the files that their authors give out.

A file is known by its layout; `KIND:FILE` says what it is where that does not tell.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from audit.errors import UnusableInput
from audit.probes.files import check_readable
from audit.probes.published.crows_pairs import read_crows_pairs
from audit.probes.published.items import PublishedProbe
from audit.probes.published.stereoset import read_stereoset
from audit.probes.published.winobias import LINE, read_winobias
from audit.probes.published.winogender import read_winogender

READERS: Mapping[str, Callable[[Path], PublishedProbe]] = {
    "crows_pairs": read_crows_pairs,
    "stereoset": read_stereoset,
    "winobias": read_winobias,
    "winogender": read_winogender,
}
FILES: Mapping[str, str] = {
    "crows_pairs": "crows_pairs_anonymized.csv",
    "stereoset": "dev.json",
    "winobias": "pro_stereotyped_type1.txt.dev, its anti_ counterpart beside it",
    "winogender": "all_sentences.tsv, occupations-stats.tsv beside it",
}


def kind_of(spec: str) -> str | None:
    """Which published data set `spec` is: said before a colon, else by its layout; None where it is none."""
    kind, _, file = spec.partition(":")
    if kind in READERS and file:
        return kind
    path = Path(spec)
    return _by_layout(path) if path.is_file() else None


def read_published(spec: str) -> PublishedProbe:
    """The data set that `FILE` or `KIND:FILE` holds, read whole and checked.

    Raises:
        UnusableInput: the file is missing, empty or not in the layout of its kind; no text of it is quoted.
    """
    kind = kind_of(spec)
    if kind is None:
        raise UnusableInput(f"probe {spec!r} is no published data set of {', '.join(READERS)}")
    path = Path(spec.removeprefix(f"{kind}:"))
    check_readable(path)
    return READERS[kind](path)


def _by_layout(path: Path) -> str | None:
    if path.suffix == ".json":
        return "stereoset"
    try:
        with path.open(encoding="utf-8-sig") as lines:
            first = next((line.rstrip("\n") for line in lines if line.strip()), "")
    except (OSError, UnicodeDecodeError):
        return None  # left for the reader of texts to refuse
    if path.suffix == ".csv":
        return "crows_pairs" if {"sent_more", "sent_less"} & set(next(csv.reader([first]), [])) else None
    if "sentid" in first.split("\t"):
        return "winogender"
    return "winobias" if path.suffix in (".dev", ".test") and LINE.fullmatch(first) else None
