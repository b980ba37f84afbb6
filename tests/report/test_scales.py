"""Ticks and steps of charts."""

from hypothesis import given
from hypothesis import strategies as st

from audit.report.scales import inner_powers, label_every, outer_powers, round_ticks, step


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_round_ticks_stay_inside_and_are_few(low, width):
    """At least two and at most six numbers between the ends."""
    ticks = round_ticks(low, low + width)
    slack = 1e-9 * max(abs(low), width)
    assert 1 <= len(ticks) <= 6
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)


def test_powers_enclose_or_stay_within():
    """An axis reaches beyond its values; a legend's ends are written already."""
    assert outer_powers(23.4, 2380.0) == [10.0, 100.0, 1000.0, 10000.0]
    assert inner_powers(23.4, 2380.0) == [100.0, 1000.0]


@given(st.integers(1, 2000))
def test_labels_keep_clear_of_one_another(count):
    """Whatever the size, each label has its room or is the only one."""
    pixels = step(260, count, 20)
    every = label_every(count, pixels)
    assert 4 <= pixels <= 20
    assert every * pixels >= 18 or every == count
