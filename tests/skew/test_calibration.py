"""The short form of `make skew`: the tests of skew neither cry wolf nor sleep, on the attention of a real model."""

import numpy as np
import pytest

from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import load_model
from tests.skew.calibration import captured, false_discoveries, independent, over_sentences, uniformity


@pytest.fixture(scope="module")
def tiny(bert_tiny):
    return captured(load_model(open_checkpoint(bert_tiny)), templates=12, terms=28)


def test_p_is_uniform_over_divisions_of_one_kind_of_words(tiny):
    """And the test over sentences, which is not used, is not."""
    assert uniformity(independent(tiny, replicates=300)) > 0.01
    assert uniformity(over_sentences(tiny, replicates=100)) < 1e-6


def test_few_discoveries_are_false(tiny):
    """With nothing there and with something; what is there is found."""
    for mixed in (False, True):
        found = false_discoveries(tiny, replicates=40, mixed=mixed)
        assert found.rate <= 0.05 + 2 * found.error
    assert found.power > 0.5


def test_the_measure_of_uniformity_can_say_no():
    """Against values of Kolmogorov's distribution, and for a p that is too small by a tenth."""
    even = (np.arange(1000) + 0.5) / 1000
    assert uniformity(even) > 0.99
    assert uniformity(np.clip(even + 0.0427, 0, 1)) == pytest.approx(0.05, abs=0.01)  # 1.358 / sqrt(1000)
    assert uniformity(even**1.2) < 0.01
