"""A user's own pairs through the survey: judged as the built-in ones are, and their words withheld unless asked for."""

import csv
import json
from dataclasses import asdict

import pytest

from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import load_model
from audit.probes.demographics import axes
from audit.probes.pair_files import read_pairs
from audit.progress import Silent
from audit.results import Plan
from audit.skew.survey import survey_skew
from tests.skew.planting import ground_of

(GENDER,) = (axis for axis in axes() if axis.name == "gender")


@pytest.fixture(scope="module")
def masked(bert_tiny):
    return load_model(open_checkpoint(bert_tiny))


def surveyed(loaded, path, rows, **plan):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("group", "term", "template"), *rows])
    made = Plan(depth="full", **plan)
    found = survey_skew(
        loaded, read_pairs(str(path)), layers=ground_of(loaded).layers, plan=made, progress=Silent()
    )
    (axis,) = found.axes
    return axis


def rows_of(templates, terms=GENDER.terms):
    return [
        (group, term, template)
        for template in GENDER.templates[:templates]
        for group, of in zip("ab", terms, strict=True)
        for term in of
    ]


def test_words_of_a_file_are_shown_on_request_only(masked, tmp_path):
    """They may offend; what is said of them is the same."""
    rows = rows_of(20)
    withheld = surveyed(masked, tmp_path / "own.csv", rows)
    shown = surveyed(masked, tmp_path / "own.csv", rows, show_text=True)
    assert withheld.verdict == shown.verdict
    assert withheld.verdict in ("skew found", "none found")
    said = json.dumps(asdict(withheld))
    terms = [term for group in GENDER.terms for term in group]
    assert not [term for term in terms if f'"{term}"' in said]
    assert withheld.output.leanings[0]["attribute"].startswith("template ")
    assert len(shown.pairs) == shown.terms


@pytest.mark.parametrize(
    ("rows", "verdict", "reason"),
    [
        (rows_of(6), "descriptive", "6 templates are too few to judge by"),
        (rows_of(20, (GENDER.terms[0][:4], GENDER.terms[1])), "descriptive", "too few to judge by (14 are"),
        (
            rows_of(20, (("\U00013000", "\U00013001"), GENDER.terms[1])),
            "not applicable",
            "0 terms per group are matched, 26 have no counterpart of as many word pieces, and 2 are unknown",
        ),
    ],
)
def test_what_cannot_be_judged_says_why(masked, tmp_path, rows, verdict, reason):
    """In numbers that a user can act on."""
    axis = surveyed(masked, tmp_path / "own.csv", rows)
    assert axis.verdict == verdict
    assert reason in axis.reason
