"""Student's t against published quantiles."""

import numpy as np
import pytest

from audit.statistics.student import two_sided


@pytest.mark.parametrize(
    ("t", "degrees", "p"),
    [
        (12.706, 1, 0.05),
        (4.303, 2, 0.05),
        (3.182, 3, 0.05),
        (2.131, 15, 0.05),
        (2.947, 15, 0.01),
        (2.042, 30, 0.05),
        (2.744, 31, 0.01),
        (1.984, 100, 0.05),
    ],
)
def test_tabulated_quantiles(t, degrees, p):
    """Tables of the t distribution, to their printed digits."""
    assert two_sided(np.array([t, -t]), degrees) == pytest.approx([p, p], rel=2e-3)


def test_the_ends():
    """Nothing is certain chance, infinity is none, and what is not known stays so."""
    found = two_sided(np.array([0.0, np.inf, np.nan]), 15)
    assert found[0] == 1
    assert found[1] == pytest.approx(0, abs=1e-15)
    assert np.isnan(found[2])
