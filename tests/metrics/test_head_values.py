"""Metrics that read scores and values, on heads with known answers."""

import torch

from audit.metrics.mass_columns import mass_columns
from audit.metrics.mixing_ratio import mixing_ratio
from audit.metrics.score_spread import score_spread
from audit.metrics.sink_drain import sink_drain
from tests.metrics.synthetic import attention

EYE = torch.eye(12)[None, None]
EVEN = torch.full((1, 1, 12, 12), 1 / 12)


def test_the_spread_of_scores_is_their_standard_deviation_over_visible_keys() -> None:
    """A shift of a whole row changes nothing, and what is masked is not looked at."""
    scores = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([scores[0, 0, i, : i + 1].std(correction=0) for i in range(7, 12)]).mean()
    masked = (scores + 5.0).masked_fill(torch.ones(12, 12).triu(1).bool(), -torch.inf)

    found = score_spread(attention(EVEN, causal=True, scores=masked))
    torch.testing.assert_close(found, expected.reshape(1, 1))


def test_a_head_that_reads_itself_mixes_nothing_and_one_that_reads_others_only_mixes_all() -> None:
    """0 for the identity, 1 for the previous token, in grouped heads too."""
    value = torch.randn(1, 1, 12, 4, generator=torch.Generator().manual_seed(1))
    pattern = torch.cat([EYE, EYE.roll(-1, -1)], 1)
    found = mixing_ratio(attention(pattern, value=value, head_output=pattern @ value))

    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0]]).double(), atol=1e-6, rtol=0.0)


def test_a_drained_sink_reads_the_ratio_of_its_value_to_the_median() -> None:
    """The first token takes 90%; its value is a tenth of the others'."""
    pattern = 0.1 * EVEN
    pattern[..., 0] += 0.9
    value = torch.ones(1, 1, 12, 4)
    value[..., 0, :] = 0.1

    torch.testing.assert_close(
        sink_drain(attention(pattern, value=value)), torch.tensor([[0.1]]).double(), rtol=1e-6, atol=0.0
    )
    assert sink_drain(attention(EVEN, value=value)).isnan().all()


def test_one_column_holds_a_sink_and_nine_tenths_hold_an_even_pattern() -> None:
    """1 of 12 keys, and 11 (10 hold five sixths)."""
    sink = torch.zeros(1, 1, 12, 12)
    sink[..., 0] = 1.0

    assert mass_columns(attention(sink)) == 1.0
    assert mass_columns(attention(EVEN)) == 11.0
