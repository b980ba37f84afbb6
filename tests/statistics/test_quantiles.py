"""Nulls from a model's own numbers, and simulated curves read off at measured places."""

import numpy as np
import pytest

from audit.statistics.quantiles import flat, read_off, spread_of


def test_every_number_of_a_ragged_measurement_is_counted() -> None:
    """Absent cells give nothing; one number is itself."""
    assert flat([[1.0, None], [2.0], None]) == [1.0, 2.0]
    assert (flat(3.0), flat(None)) == ([3.0], [])


def test_a_null_is_the_median_with_its_tails() -> None:
    """5%, 50% and 95%, and how many numbers are behind them."""
    null = spread_of([float(i) for i in range(101)], how="of the model's heads")
    assert null is not None
    assert (null.low, null.value, null.high, null.n) == (5.0, 50.0, 95.0, 101)
    assert spread_of([], how="of nothing") is None


def test_a_curve_is_read_off_in_the_shape_of_the_places() -> None:
    """Linear between grid points, flat beyond them, None where nothing was measured."""
    grid, curve = np.array([0.0, 1.0, 2.0]), np.array([10.0, 20.0, 40.0])
    assert read_off(curve, grid, [[0.5, None], [1.5, 9.0], None]) == [[15.0, None], [30.0, 40.0], None]
    assert read_off(curve, grid, 1.0) == pytest.approx(20.0)
