"""How a case hands out single cells."""

import pytest

from tests.rules.cases import case, measured

HEADS = {"attention_entropy": {"prose": measured([[0.1, None], [0.3, 0.4]], spread=0.05)}}
LAYERS = {"block_influence": {"prose": measured([0.1, None])}}


@pytest.mark.parametrize("found", [HEADS, LAYERS])
def test_a_single_cell_is_the_one_of_the_list(found):
    """Looking one up and walking through all of them must not tell two stories."""
    of = case("uniform_head", found)
    (metric,) = found
    cells = list(of.cells(metric, "prose"))
    assert cells
    assert [of.cell(metric, "prose", cell.layer, cell.head) for cell in cells] == cells


@pytest.mark.parametrize("place", [(0, 1), (0, None), (0, 2), (2, 0), (-1, 0)])
def test_a_cell_that_is_not_there_is_none(place):
    """Absent, of another kind, or beyond the model."""
    assert case("uniform_head", HEADS).cell("attention_entropy", "prose", *place) is None


def test_a_layer_has_no_heads():
    """A metric of layers says nothing of one head."""
    assert case("redundant_layer", LAYERS).cell("block_influence", "prose", 0, 0) is None


def test_an_unknown_metric_or_probe_has_no_cells():
    """Nothing was measured there."""
    of = case("uniform_head", HEADS)
    assert of.cell("attention_entropy", "code", 0, 0) is None
    assert of.cell("sink_mass", "prose", 0, 0) is None
