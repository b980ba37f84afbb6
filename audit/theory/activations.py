"""Second moments of an activation over correlated Gaussians: what an MLP does to energy and similarity."""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import hermite_e

from audit.errors import unknown_name
from audit.theory.quadrature import Array, times

_NODES = 61
_Scalar = Callable[[Array], Array]
_Kernel = Callable[[Array, Array], Array]  # E phi(u) phi(u') of variance and correlation


class Moments(NamedTuple):
    """Energy and overlap of an activation's outputs."""

    own: Array  # E phi(u)^2
    cross: Array  # E phi(u) phi(u')


def second_moments(activation: str, variance: Array, correlation: Array) -> Moments:
    """E phi(u)^2 and E phi(u) phi(u') for Gaussian u, u' of that variance and correlation.

    In closed form for ReLU, squared ReLU and GELU; otherwise Gauss-Hermite gives the Hermite coefficients a_n of
    phi(sqrt(variance) z), and E phi(u) phi(u') = sum_n a_n^2 c^n. Raises UnusableInput for an unknown activation.
    """
    variance, correlation = np.broadcast_arrays(variance, np.clip(correlation, -1.0, 1.0))
    check_activation(activation)
    if activation in _FUNCTIONS:
        return _by_hermite(_FUNCTIONS[activation], variance, correlation)
    kernel = _KERNELS[activation]
    return Moments(kernel(variance, np.ones_like(variance)), kernel(variance, correlation))


def check_activation(name: str) -> None:
    """Raise UnusableInput, with the nearest names, where `name` (`hidden_act`) is none the theory knows."""
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, list(ACTIVATIONS))


def _by_hermite(function: _Scalar, variance: Array, correlation: Array) -> Moments:
    points, projection = _hermite()
    values = function(np.sqrt(variance)[..., None] * points)
    energies = times(values.reshape(-1, _NODES), projection).reshape(values.shape) ** 2
    powers = correlation[..., None] ** np.arange(_NODES)
    return Moments(energies.sum(-1), (energies * powers).sum(-1))


@cache
def _hermite() -> tuple[Array, Array]:
    """Gauss-Hermite nodes, and what turns values there into Hermite coefficients, [node, order]."""
    points, weights = hermite_e.hermegauss(_NODES)
    rows = np.zeros((_NODES, _NODES))
    rows[0], rows[1] = 1.0, points
    for n in range(1, _NODES - 1):
        rows[n + 1] = (points * rows[n] - math.sqrt(n) * rows[n - 1]) / math.sqrt(n + 1)
    return points, (rows * weights / math.sqrt(2.0 * math.pi)).T


def _relu(variance: Array, correlation: Array) -> Array:
    """Arc-cosine kernel of order 1 (Cho and Saul 2009)."""
    angle = np.arccos(correlation)
    found: Array = variance / (2.0 * math.pi) * (np.sin(angle) + (math.pi - angle) * correlation)
    return found


def _relu_squared(variance: Array, correlation: Array) -> Array:
    """Arc-cosine kernel of order 2 (Cho and Saul 2009)."""
    angle = np.arccos(correlation)
    turned = (math.pi - angle) * (1.0 + 2.0 * correlation**2)
    found: Array = variance**2 / (2.0 * math.pi) * (3.0 * np.sin(angle) * correlation + turned)
    return found


def _gelu(variance: Array, correlation: Array) -> Array:
    """E u u' Phi(u) Phi(u') by Stein's lemma, Phi being the normal distribution function."""
    covariance, wide = variance * correlation, 1.0 + variance
    both = 0.25 + np.arcsin(covariance / wide) / (2.0 * math.pi)  # E Phi(u) Phi(u')
    density = 1.0 / (2.0 * math.pi * np.sqrt(wide**2 - covariance**2))
    found: Array = covariance * both + density * (variance**2 + covariance**2 * (1.0 - variance) / wide)
    return found


def _linear(variance: Array, correlation: Array) -> Array:
    return variance * correlation


def _silu(u: Array) -> Array:
    return u * _sigmoid(u)


def _quick_gelu(u: Array) -> Array:
    return u * _sigmoid(1.702 * u)


def _sigmoid(u: Array) -> Array:
    found: Array = 0.5 * (1.0 + np.tanh(u / 2.0))
    return found


_KERNELS: dict[str, _Kernel] = {
    "gelu": _gelu,
    "gelu_10": _gelu,
    "gelu_fast": _gelu,  # the tanh forms differ from it by less than 1e-3
    "gelu_new": _gelu,
    "gelu_python": _gelu,
    "gelu_pytorch_tanh": _gelu,
    "linear": _linear,
    "relu": _relu,
    "relu2": _relu_squared,
}
_FUNCTIONS: dict[str, _Scalar] = {
    "quick_gelu": _quick_gelu,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "swish": _silu,
    "tanh": np.tanh,
}
ACTIVATIONS = tuple(sorted({*_KERNELS, *_FUNCTIONS}))
