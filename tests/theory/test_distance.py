"""Likeness of positions by distance, against closed forms."""

import math

import pytest
import torch

from audit.theory.distance import (
    depends_on_distance_alone,
    first_negative,
    rotation_likeness,
    table_likeness,
)


def sinusoids(rows: int, pairs: int) -> torch.Tensor:
    angles = torch.arange(rows)[:, None] * 10_000.0 ** (-torch.arange(pairs) / pairs)
    return torch.cat([angles.sin(), angles.cos()], 1)


@pytest.mark.parametrize("distance", [0, 1, 7, 40])
def test_a_table_of_sinusoids_is_the_mean_cosine(distance):
    """The closed form: sum_i cos(w_i k), over the number of frequencies."""
    waves = [10_000.0 ** (-i / 16) for i in range(16)]
    expected = sum(math.cos(w * distance) for w in waves) / 16
    (table,) = table_likeness(sinusoids(64, 16), [distance])
    (turned,) = rotation_likeness(torch.tensor(waves), [distance])
    assert table == pytest.approx(expected, abs=1e-6)
    assert turned == pytest.approx(expected, abs=1e-6)


def test_only_sinusoids_depend_on_distance_alone():
    """Not drawn rows, nor rows that are all alike or zero, nor a table too short to tell."""
    assert depends_on_distance_alone(sinusoids(100, 8))
    torch.manual_seed(0)
    others = (torch.randn(100, 16), torch.ones(100, 16), torch.zeros(100, 16), sinusoids(3, 8))
    assert not any(depends_on_distance_alone(table) for table in others)


def test_one_frequency_turns_at_a_quarter_of_its_wave():
    """cos(2 pi k / 8) is first negative at k = 3; below that limit it is not seen."""
    wave = torch.tensor([2 * math.pi / 8])
    assert first_negative(wave, 100) == 3
    assert first_negative(wave, 3) is None
