"""The fitted table against the integrals it stands for."""

import math

import numpy as np
import pytest

from audit.theory.overlaps import cross_overlap, own_overlap
from audit.theory.table import FiniteLength, InfiniteLength, finite_length


@pytest.fixture(scope="module")
def table_512() -> FiniteLength:
    """Rows of 512 keys."""
    return finite_length(512)


@pytest.mark.parametrize("tokens", [2, 512])
def test_table_stays_close_to_the_integrals(tokens: int):
    """At random spreads and correlations, within four thousandths."""
    table, rng = finite_length(tokens), np.random.default_rng(0)
    for s, angle in zip(12 * rng.random(25) ** 2, math.pi / 2 * rng.random(25), strict=True):
        c = math.cos(angle)
        found = table(np.array(s), np.array(c))
        assert found.own == pytest.approx(own_overlap(s, tokens), rel=4e-3)
        assert found.cross == pytest.approx(cross_overlap(s, c, tokens), rel=4e-3)


def test_small_spreads_keep_what_centred_attention_needs(table_512: FiniteLength):
    """T Y - 1 is right even where it is 1e-4 of Y."""
    found = table_512(np.array(0.01), np.array(0.5))
    assert 512 * found.own - 1 == pytest.approx(1e-4 * 511 / 512, rel=4e-3)
    assert 512 * found.cross - 1 == pytest.approx(5e-5 * 511 / 512, rel=4e-3)


def test_table_takes_whole_grids_and_negative_correlations(table_512: FiniteLength):
    """Cells are independent of each other; correlations below 0 count as 0."""
    s, c = np.array([[0.5], [4.0]]), np.array([-0.1, 0.0, 0.9])
    grid = table_512(s, c)
    assert grid.own.shape == (2, 3)
    assert grid.cross[1, 2] == table_512(np.array(4.0), np.array(0.9)).cross
    np.testing.assert_array_equal(grid.cross[:, 0], grid.cross[:, 1])


def test_beyond_the_table_overlaps_go_on_to_one_key(table_512: FiniteLength):
    """1 - Y2 falls as 1/s past the last node."""
    inside, outside = (table_512(np.array(s), np.array(0.9)) for s in (12.0, 120.0))
    assert 1 - outside.own == pytest.approx((1 - inside.own) / 10)
    assert inside.cross < outside.cross < outside.own


def test_infinite_rows_freeze_at_once():
    """The published map: nothing below the freezing point, 1 - beta_c / beta above, rows never meeting."""
    paper, point = InfiniteLength(512), math.sqrt(2 * math.log(512))
    found = paper(np.array([0.0, 0.99 * point, 2 * point]), np.array(0.5))
    np.testing.assert_allclose(found.own, [0.0, 0.0, 0.5])
    np.testing.assert_array_equal(found.cross, 0.0)
