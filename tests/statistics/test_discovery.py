"""The false discovery rate, against the numbers of its first paper."""

import numpy as np
import pytest

from audit.statistics.discovery import benjamini_hochberg

# Benjamini and Hochberg 1995, section 4: 15 p values of a trial, of which the first four are believed at 5%.
PUBLISHED = (
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
)  # fmt: skip


def test_the_published_example():
    """Four rejections, whatever the order."""
    order = np.random.default_rng(0).permutation(len(PUBLISHED))
    adjusted = benjamini_hochberg(np.array(PUBLISHED)[order])
    believed = {PUBLISHED[where] for where, q in zip(order, adjusted, strict=True) if q <= 0.05}
    assert believed == set(PUBLISHED[:4])


def test_adjusted_p_keep_the_order_and_never_fall_below_p():
    """By hand for three: 3 x 0.01 / 1, 3 x 0.04 / 2, 3 x 0.5 / 3."""
    assert benjamini_hochberg(np.array([0.5, 0.01, 0.04])).tolist() == pytest.approx([0.5, 0.03, 0.06])


def test_what_was_not_tested_does_not_count():
    """NaN stays NaN and corrects nobody."""
    adjusted = benjamini_hochberg(np.array([0.04, np.nan]))
    assert adjusted[0] == 0.04
    assert np.isnan(adjusted[1])
