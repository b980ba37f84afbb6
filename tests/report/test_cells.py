"""One flat view of measurements of any shape."""

from audit.report.cells import Cell, axes_of, cells_of, why_absent
from audit.results import Measurement


def test_every_shape_becomes_cells():
    """A number, a value per layer and a value per head; an absent interval stays absent."""
    assert cells_of(Measurement(value=0.5, low=0.4, high=0.6)) == (Cell(None, None, 0.5, 0.4, 0.6),)
    assert cells_of(Measurement(value=[0.5, None])) == (
        Cell(0, None, 0.5, None, None),
        Cell(1, None, None, None, None),
    )
    assert cells_of(Measurement(value=[[0.5], None], low=[[0.4], None], high=[[0.6], None])) == (
        Cell(0, 0, 0.5, 0.4, 0.6),
        Cell(1, None, None, None, None),
    )


def test_layers_may_differ_in_their_heads():
    """A pruned model has ragged rows."""
    assert [(cell.layer, cell.head) for cell in cells_of(Measurement(value=[[1.0, 2.0], [3.0]]))] == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]


def test_axes_are_seen_from_the_values_and_else_as_declared():
    """A metric that was measured nowhere still belongs to its chapter."""
    nothing = Measurement(value=None, absent="no loss")
    assert axes_of([nothing, Measurement(value=[[1.0]])], None) == "head"
    assert axes_of([Measurement(value=[1.0])], "head") == "layer"
    assert axes_of([Measurement(value=1.0)], None) == "model"
    assert axes_of([nothing], "layer") == "layer"


def test_a_reason_is_said_once():
    """'no interval: no interval: ...' helps nobody."""
    assert (
        why_absent(Measurement(value=1.0, absent="no interval: 4 documents are too few"))
        == "4 documents are too few"
    )
    assert why_absent(Measurement(value=1.0, absent="not a mean: no interval")) == "not a mean"
    assert why_absent(Measurement(value=None)) == "no reason was recorded"
