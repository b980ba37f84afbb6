"""What no transformer can be is refused in one line."""

import math

import pytest

from audit.errors import UnusableInput
from tests.theory.stacks import plain, unit


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("depth", 0),
        ("depth", 10**5),
        ("width", 1),
        ("heads", 0),
        ("tokens", 1),
        ("tokens", True),
        ("tokens", 2.0),
        ("mlp_width", -1),
        ("norm_eps", math.nan),
        ("skip_attention", -1.0),
        ("score_scale", math.inf),
        ("placement", "middle"),
        ("activation", "wave"),
    ],
)
def test_absurd_shapes_are_refused(field: str, value: object):
    """The message names the field or the value."""
    with pytest.raises(UnusableInput, match=rf"{field}|{value}"):
        plain(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sd_query", -0.1),
        ("sd_value", 11.0),
        ("sd_mlp_out", "0.02"),
        ("bias_variance", -1.0),
        ("q0", 0.0),
        ("p0", 1.5),
    ],
)
def test_absurd_weights_are_refused(field: str, value: object):
    """Spreads lie in [0, 10], and no overlap is larger than the energy."""
    with pytest.raises(UnusableInput, match=field):
        unit(**{field: value})


def test_extremes_that_exist_are_taken():
    """A thousand blocks, two tokens, a given score scale."""
    assert plain(depth=1000, tokens=2, score_scale=1.0).depth == 1000
    assert unit(q0=4.0, p0=1.0).similarity == 0.25
