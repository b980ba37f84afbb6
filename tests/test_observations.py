"""What an observation derives from what was seen."""

from dataclasses import replace

import torch
from torch import Tensor

from audit.observations import AttentionObservation, Batch
from audit.patterns import Stored
from tests.metrics.synthetic import attention, padded_attention, random_attention


def _sinks(observation: AttentionObservation) -> list[list[int]]:
    """Positions of the sinks of each head of the only sample."""
    return [head.nonzero()[:, 0].tolist() for head in observation.sinks[0]]


def _heads(*columns: int | None, tokens: int = 20, share: float = 0.6) -> Tensor:
    """One even head for each None, and one that rests on that column for each number, [1, head, T, T]."""
    pattern = torch.full((1, len(columns), tokens, tokens), 1 / tokens)
    for head, column in enumerate(columns):
        if column is not None:
            pattern[0, head] = (1 - share) / tokens
            pattern[0, head, :, column] += share
    return pattern


def test_a_batch_can_be_cut_to_one_row() -> None:
    """Row and leading columns of every part, and the names that belong to the row."""
    ids = torch.arange(6).reshape(2, 3)
    batch = Batch(ids, ids > 0, ids > 4, samples=(8, 9), documents=("a", "b"))
    cut = batch.only(1, 2)

    assert [part.tolist() for part in (cut.input_ids, cut.tokens, cut.special)] == [
        [[3, 4]],
        [[True, True]],
        [[False, False]],
    ]
    assert (cut.samples, cut.documents) == ((9,), ("b",))


def test_rows_count_the_keys_they_may_see() -> None:
    """One more per row under a causal mask; padded rows see nothing, whatever the mask says of them."""
    observation = padded_attention(random_attention(0, causal=True), 2, 1)

    assert observation.visible_keys[0, 0].tolist() == [0, 0, *range(1, 21), 0]


def test_causality_is_read_off_the_real_rows() -> None:
    """Masks often open padded rows to every key: that makes no decoder bidirectional."""
    assert padded_attention(random_attention(0, causal=True), 2, 1).causal
    assert not random_attention(0).causal
    assert not random_attention(0, cross=True).causal
    assert not attention(torch.ones(1, 1), kind="cross").causal


def test_positions_are_shared_in_self_attention_only() -> None:
    """Cross-attention with as many keys as queries still has no positions in common."""
    assert random_attention(0).same_tokens
    assert not random_attention(0, cross=True).same_tokens
    assert not attention(torch.eye(3), kind="cross").same_tokens


def test_mass_is_nowhere_but_on_what_real_rows_may_see() -> None:
    """Float64, 0 on padding although NaN stands there, 0 on hidden keys although mass stands there."""
    observation = random_attention(0)
    hidden = replace(observation, source=Stored(observation.pattern, observation.visible.tril()))

    assert observation.mass.dtype == torch.float64
    torch.testing.assert_close(padded_attention(observation, 3, 2).mass[..., 3:-2, 3:-2], observation.mass)
    assert padded_attention(observation, 3, 2).mass.isfinite().all()
    assert hidden.mass.triu(1).abs().sum() == 0
    torch.testing.assert_close(hidden.mass, observation.mass.tril())


def test_received_is_the_mean_over_the_rows_that_may_see_a_key() -> None:
    """Under a causal mask the last key is judged by the last row alone."""
    even = torch.ones(4, 4).tril() / torch.arange(1, 5)[:, None]

    torch.testing.assert_close(
        attention(even, causal=True).received[0, 0],
        torch.tensor(
            [(1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, (1 / 2 + 1 / 3 + 1 / 4) / 3, (1 / 3 + 1 / 4) / 2, 1 / 4]
        ).double(),
    )


def test_singular_values_leave_padding_out() -> None:
    """Padding adds zeros behind and nothing else."""
    observation = random_attention(0, causal=True)
    padded = padded_attention(observation, 2, 3).spectrum.values

    torch.testing.assert_close(padded[..., :20], observation.spectrum.values)
    assert (padded[..., 20:] == 0).all()


def test_the_first_token_is_a_sink_of_any_head_that_rests_on_it() -> None:
    """By position: no other head need agree. An even head has none."""
    assert _sinks(attention(_heads(0, None, None, None))) == [[0], [], [], []]


def test_the_first_real_token_is_first_behind_padding() -> None:
    """Left padding moves the sink, it does not hide it."""
    padded = padded_attention(
        attention(_heads(0, None, None, None), head_output=torch.zeros(1, 4, 20, 2)), 5, 0
    )

    assert _sinks(padded) == [[5], [], [], []]


def test_a_special_token_is_a_sink_of_any_head_that_rests_on_it() -> None:
    """[SEP] at the end of an encoder's sample."""
    observation = attention(_heads(19, None, None, None))
    special = torch.arange(20)[None] == 19

    assert _sinks(observation) == [[], [], [], []]
    assert _sinks(replace(observation, special=special)) == [[19], [], [], []]


def test_an_ordinary_token_is_a_sink_when_heads_agree_on_it() -> None:
    """More than a quarter of the heads and at least two: one head alone is a finding, not a sink."""
    assert _sinks(attention(_heads(7, 7, None, None))) == [[7], [7], [], []]
    assert _sinks(attention(_heads(7, None))) == [[], []]
    assert _sinks(attention(_heads(7, 7, *[None] * 6))) == [[]] * 8
    assert _sinks(attention(_heads(7, 7, 7, *[None] * 5))) == [[7]] * 3 + [[]] * 5


def test_a_sink_takes_more_than_three_tenths() -> None:
    """The threshold of Gu et al., on average over the rows."""
    assert _sinks(attention(_heads(0, tokens=100, share=0.28))) == [[]]
    assert _sinks(attention(_heads(0, tokens=100, share=0.30))) == [[0]]


def test_the_last_tokens_of_a_causal_sample_are_no_sinks_for_looking_at_themselves() -> None:
    """Fewer than eight rows are no witnesses: every head agreeing on the last token says nothing."""
    identity = torch.eye(20).expand(1, 4, 20, 20)

    assert _sinks(attention(identity, causal=True)) == [[]] * 4


def test_a_sample_shorter_than_eight_tokens_can_still_have_a_sink() -> None:
    """All rows are witnesses enough."""
    pattern = torch.zeros(1, 2, 3, 3)
    pattern[..., 0] = 1.0

    assert _sinks(attention(pattern, causal=True)) == [[0], [0]]
