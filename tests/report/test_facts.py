"""The words beside a picture."""

import pytest

from audit.report import facts
from audit.report.cells import Cell
from audit.results import Measurement

CELLS = [
    Cell(0, 0, 0.2, 0.1, 0.3),
    Cell(0, 1, 0.9, 0.8, 1.0),
    Cell(1, 0, 0.4, 0.3, 0.5),
    Cell(1, 1, None, None, None),
]


def test_extremes_say_where():
    """Lowest, highest and median with their places."""
    assert facts.extremes(CELLS) == "lowest 0.2 (layer 0, head 0), highest 0.9 (layer 0, head 1), median 0.4"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([Cell(0, 0, 0.5, None, None)], "0.5 in the only head"),
        ([Cell(0, None, 0.5, None, None), Cell(1, None, 0.5, None, None)], "0.5 in each of 2 layers"),
    ],
)
def test_one_value_is_not_called_lowest(cells, said):
    """Where all are alike, that is the fact."""
    assert said == facts.extremes(cells)


def test_the_caption_tells_what_is_missing_and_why():
    """A head without a value has a reason; one of an unobserved layer is said elsewhere, once."""
    measurement = Measurement(value=[], n=32, absent="all its mass lies on sinks")

    assert "1 head without a value: all its mass lies on sinks." in facts.caption(
        CELLS, measurement, unobserved=()
    )
    assert "without a value" not in facts.caption(CELLS, measurement, unobserved={1})


def test_the_caption_tells_how_sure():
    """The typical half-width, or the reason why there is none."""
    few = Measurement(value=[], n=4, absent="no interval: 4 documents are too few (16 are needed)")
    bare = [cell._replace(low=None, high=None) for cell in CELLS[:3]]

    assert "32 documents, ±0.1." in facts.caption(CELLS[:3], Measurement(value=[], n=32), unobserved=())
    assert "4 documents, no interval: 4 documents are too few (16 are needed)." in facts.caption(
        bare, few, unobserved=()
    )
    assert "read from the weights" in facts.caption(bare, Measurement(value=[]), unobserved=())
    assert "lower bounds" in facts.caption(bare, Measurement(value=[], bound="at_least"), unobserved=())


def test_tables_hold_every_layer():
    """The alternative to the picture leaves nothing out."""
    heads = facts.by_layer([*CELLS, Cell(2, 0, None, None, None)])
    depth = facts.by_depth({"prose": [Cell(0, None, 0.5, 0.4, 0.6), Cell(1, None, None, None, None)]})

    assert heads.rows == (
        ("0", "0.2 (0)", "0.55", "0.9 (1)"),
        ("1", "0.4 (0)", "0.4", "0.4 (0)"),
        ("2", "not measured", "", ""),
    )
    assert depth.rows == (("0", "0.5 [0.4, 0.6]"), ("1", "not measured"))
