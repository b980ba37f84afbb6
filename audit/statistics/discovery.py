"""Many tests at once: which of them can be believed when a stated share of those believed may be wrong."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def benjamini_hochberg(p: Array) -> Array:
    """Adjusted p values, as shaped as `p`: those at most q hold a false discovery rate of q. NaN stays and counts not.

    Holds for independent tests and for those with positive regression dependence.

    Source: Benjamini and Hochberg 1995; Benjamini and Yekutieli 2001, theorem 1.2 (dependence).
    """
    adjusted = np.full(p.shape, np.nan)
    defined = np.isfinite(p)
    values = p[defined]
    order = np.argsort(values)
    ranked = values[order] * len(values) / np.arange(1, len(values) + 1)
    running = np.minimum.accumulate(ranked[::-1])[::-1]
    back = np.empty_like(running)
    back[order] = np.minimum(running, 1.0)
    adjusted[defined] = back
    return adjusted
