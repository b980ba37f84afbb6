"""Terms crossed with templates."""

import numpy as np
import pytest

from audit.statistics.crossed import effect, interval, smallest_visible, term_scores

FIRST = np.arange(28) < 14


def crossed(generator, *, difference=0.0, templates=24, share=8):
    """Noise of terms, templates and sentences; pairs of terms stand in `share` templates each, in rotation."""
    values = generator.normal(size=(templates, 28, 1)) + generator.normal(size=(1, 28, 1))
    values += 5.0 * generator.normal(size=(templates, 1, 1)) + difference * FIRST[None, :, None]
    stands = np.zeros((templates, 28), bool)
    for pair in range(14):
        stands[[(pair * share + step) % templates for step in range(share)], pair] = True
    stands[:, 14:] = stands[:, :14]
    return np.where(stands[..., None], values, np.nan)


def test_the_level_of_a_template_does_not_count():
    """A template that draws more attention draws it from both groups."""
    values = crossed(np.random.default_rng(0))
    raised = values + np.arange(24.0)[:, None, None] * 100
    assert term_scores(raised) == pytest.approx(term_scores(values), abs=1e-9)


def test_scores_of_a_full_crossing_are_plain_means():
    """Less the mean of all."""
    values = np.random.default_rng(1).normal(size=(5, 28, 2))
    assert term_scores(values) == pytest.approx(values.mean(0) - values.mean((0, 1)))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Over terms and templates, so on the wide side of 95%."""
    held, found = 0, []
    for seed in range(200):
        values = crossed(np.random.default_rng(seed), difference=1.0)
        low, high = interval(values, FIRST, seed=seed)
        held += bool(low[0] <= 1.0 <= high[0])
        found.append(effect(term_scores(values), FIRST).size[0])
    assert 0.92 * 200 <= held <= 200
    assert np.mean(found) == pytest.approx(1.0 / np.sqrt(1 + 1 / 8), rel=0.15)


def test_the_smallest_visible_effect_is_seen_four_times_of_five():
    """Power of the two-sided test at the corrected level, under normal scores."""
    generator = np.random.default_rng(5)
    error = np.sqrt(2 / 14)
    least = smallest_visible(np.array([error]), 1)[0]
    gaps = generator.normal(least, error, 20_000)
    assert np.mean(np.abs(gaps) > 1.96 * error) == pytest.approx(0.8, abs=0.01)
    assert smallest_visible(np.array([error]), 1000)[0] > least
