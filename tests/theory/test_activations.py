"""Second moments of activations against plain two-dimensional integration."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from audit.errors import UnusableInput
from audit.theory.activations import ACTIVATIONS, second_moments

_SCALARS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda u: u / 2 * (1 + np.vectorize(math.erf)(u / math.sqrt(2))),
    "linear": lambda u: u,
    "quick_gelu": lambda u: u / (1 + np.exp(-1.702 * u)),
    "relu": lambda u: np.maximum(u, 0.0),
    "relu2": lambda u: np.maximum(u, 0.0) ** 2,
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "silu": lambda u: u / (1 + np.exp(-u)),
    "tanh": np.tanh,
}


def _integrated(
    function: Callable[[np.ndarray], np.ndarray], variance: float, c: float
) -> tuple[float, float]:
    z = np.linspace(-8, 8, 801)
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    here = function(math.sqrt(variance) * z)
    there = function(math.sqrt(variance) * (c * z[:, None] + math.sqrt(1 - c * c) * z))
    return float(here**2 @ weight), float((here * weight) @ (there @ weight))


@pytest.mark.parametrize("name", _SCALARS)
@pytest.mark.parametrize(("variance", "c"), [(0.3, 0.2), (2.0, 0.9), (1.0, 0.0), (1.0, -0.4)])
def test_moments_agree_with_integration(name: str, variance: float, c: float):
    """E phi^2 and E phi phi' to four digits."""
    found = second_moments(name, np.array(variance), np.array(c))
    own, cross = _integrated(_SCALARS[name], variance, c)
    assert found.own == pytest.approx(own, rel=2e-4)
    assert found.cross == pytest.approx(cross, rel=2e-4, abs=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equal_inputs_give_equal_outputs(name: str):
    """At correlation 1 both moments are the same, and below it the cross moment is smaller."""
    found = second_moments(name, np.array([0.5, 3.0]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(found.own, found.cross, rtol=1e-9)
    assert np.all(second_moments(name, np.array([0.5, 3.0]), np.array([0.5, 0.5])).cross < found.own)


def test_unknown_activation_is_named_with_its_neighbours():
    """The message says what was found and what it may have meant."""
    with pytest.raises(UnusableInput, match=r"unknown activation 'glu': did you mean .*gelu"):
        second_moments("glu", np.array(1.0), np.array(0.0))
