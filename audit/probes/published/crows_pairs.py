"""CrowS-Pairs: pairs of sentences that differ in the group of people, from `crows_pairs_anonymized.csv`."""

from pathlib import Path

from audit.errors import UnusableInput
from audit.probes.published.items import Pair, PublishedProbe, Told
from audit.probes.readers import Row, read_csv

COLUMNS = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
DIRECTIONS = ("stereo", "antistereo")


def read_crows_pairs(path: Path) -> PublishedProbe:
    """The pairs of the published file.

    Raises:
        UnusableInput: a column is missing, or a row has an empty value or a direction that is neither stereo nor
            antistereo; the line names file and row. No text of the file is quoted.
    """
    columns, rows = read_csv(path, COLUMNS)
    for name in COLUMNS:
        if name not in columns:
            raise UnusableInput(
                f"probe file {path.name!r} has no column {name!r}; CrowS-Pairs has {', '.join(COLUMNS)}"
            )
    if not rows:
        raise UnusableInput(f"probe file {path.name!r} holds no rows; CrowS-Pairs has a pair in each")
    return PublishedProbe(
        name=path.name,
        kind="crows_pairs",
        title="CrowS-Pairs",
        limits="Its authors advise against using it: many of its pairs hold no stereotype, change more than the group, "
        "or are ungrammatical (Blodgett et al. 2021). It is about the United States",
        reference="Nangia et al. 2020, CrowS-Pairs: a challenge dataset for measuring social biases in masked "
        "language models",
        pairs=tuple(_pair(path.name, row) for row in rows),
    )


def _pair(file: str, row: Row) -> Pair:
    for name in COLUMNS:
        if not str(row.values[name]).strip():
            raise UnusableInput(f"probe file {file!r}, row {row.number}, column {name!r}: empty; fill it in")
    more, less, direction, bias = (str(row.values[name]) for name in COLUMNS)
    if direction not in DIRECTIONS:
        raise UnusableInput(
            f"probe file {file!r}, row {row.number}, column 'stereo_antistereo': neither stereo nor antistereo"
        )
    return Pair(group=bias, cluster=str(row.number), more=Told(more), less=Told(less), direction=direction)
