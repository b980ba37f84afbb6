"""Student's t: how likely a mean is this far from nothing by chance."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def two_sided(t: Array, degrees: int) -> Array:
    """Probability of |T| >= |t| for Student's t with so many degrees of freedom; NaN stays, below 1e-15 it is 0.

    Source: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4 (finite series, exact).

    Args:
        t: any shape; infinite is allowed.
        degrees: at least 1.
    """
    angle = np.arctan(np.abs(t) / np.sqrt(degrees))
    sine, squared = np.sin(angle), np.square(np.cos(angle))
    odd = degrees % 2
    term = np.ones_like(angle)
    total = np.zeros_like(angle)
    for k in range(1, (degrees - odd) // 2 + 1):
        total += term
        term = term * squared * (2 * k - 1 + odd) / (2 * k + odd)
    inside = 2 / np.pi * (angle + sine * np.cos(angle) * total) if odd else sine * total
    p: Array = np.clip(1 - inside, 0.0, 1.0)
    return p
