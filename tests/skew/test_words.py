"""Attention between words, against loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.observations import AttentionObservation, Batch
from audit.patterns import Stored
from audit.probes.sentences import Crossing
from audit.skew.words import DIVERGENCES, QUANTITIES, words_of

# the frame is word 0 and 6; the term, word 2, is of two pieces and of one
WORDS = torch.tensor([[0, 1, 2, 2, 3, 4, 5, 6], [0, 1, 1, 2, 3, 4, 5, 6]])
TOKENS, OTHERS = 8, [1, 3, 4, 5]


def seen(*, causal):
    generator = torch.Generator().manual_seed(0)
    visible = torch.ones(2, 1, TOKENS, TOKENS, dtype=torch.bool)
    visible = visible.tril() if causal else visible
    scores = torch.randn(2, 3, TOKENS, TOKENS, generator=generator).masked_fill(~visible, -torch.inf)
    tokens = torch.ones(2, TOKENS, dtype=torch.bool)
    observation = AttentionObservation(
        layer=0,
        kind="self",
        source=Stored(scores.softmax(-1), visible),
        queries=tokens,
        keys=tokens,
        special=~tokens,
    )
    crossing = Crossing(
        templates=(0, 0),
        terms=(0, 1),
        batch=Batch(WORDS, tokens, ~tokens, (0, 1), ("0", "1")),
        words=WORDS,
        count=7,
        term=torch.tensor([2, 2]),
        attribute=torch.tensor([3, 1]),
        ordinary=torch.tensor([[False, True, True, True, True, True, False]] * 2),
    )
    return observation, crossing


def by_hand(observation, row, head):
    pattern = observation.pattern[row, head].numpy()
    pieces = [np.flatnonzero(WORDS[row].numpy() == word) for word in range(7)]
    return np.array([[pattern[rows][:, keys].sum(1).mean() for keys in pieces] for rows in pieces])


def test_pieces_are_gathered_into_words():
    """Mean over the pieces of a row, sum over those of a key."""
    observation, crossing = seen(causal=False)
    words = words_of(observation, crossing)
    for row in range(2):
        for head in range(3):
            assert words.pattern[row, head].numpy() == pytest.approx(
                by_hand(observation, row, head), abs=1e-6
            )


def test_quantities_against_loops():
    """The sentence is words 1, 3, 4 and 5; the term is word 2."""
    observation, crossing = seen(causal=False)
    words = words_of(observation, crossing)
    found = {name: quantity.read(words) for name, quantity in QUANTITIES.items()}
    for row, attribute in ((0, 3), (1, 1)):
        for head in range(3):
            a = by_hand(observation, row, head)
            assert found["received"][row, head] == pytest.approx(a[OTHERS, 2].mean(), abs=1e-6)
            assert found["received_from_attribute"][row, head] == pytest.approx(a[attribute, 2], abs=1e-6)
            assert found["given"][row, head] == pytest.approx(a[2, OTHERS].sum(), abs=1e-6)
            assert found["given_to_attribute"][row, head] == pytest.approx(a[2, attribute], abs=1e-6)


def test_a_causal_row_that_cannot_see_is_not_counted():
    """Word 1 stands before the term: it cannot look at it, and the term can look at nothing else."""
    observation, crossing = seen(causal=True)
    words = words_of(observation, crossing)
    a = by_hand(observation, 0, 0)
    assert QUANTITIES["received"].read(words)[0, 0] == pytest.approx(a[3:6, 2].mean(), abs=1e-6)
    assert QUANTITIES["given"].read(words)[0, 0] == pytest.approx(a[2, 1], abs=1e-6)
    assert QUANTITIES["received_from_attribute"].read(words).isnan().tolist() == [[False] * 3, [True] * 3]
    assert QUANTITIES["given_to_attribute"].read(words).isnan().tolist() == [[True] * 3, [False] * 3]


def test_divergences_against_loops():
    """Over the rows of the other words."""
    observation, crossing = seen(causal=False)
    words = words_of(observation, crossing)
    one, two = torch.tensor([0]), torch.tensor([1])
    for head in range(3):
        a, b = (by_hand(observation, row, head)[OTHERS] for row in range(2))
        middle = (a + b) / 2
        jensen = sum((p * np.log(p / middle)).sum(1) for p in (a, b)) / 2
        columns = np.corrcoef(a[:, 2], b[:, 2])[0, 1]
        assert DIVERGENCES["divergence"].compare(words, one, two)[0, head] == pytest.approx(
            jensen.mean(), abs=1e-6
        )
        assert DIVERGENCES["column_difference"].compare(words, one, two)[0, head] == pytest.approx(
            1 - columns, abs=1e-4
        )


def test_a_term_does_not_differ_from_itself():
    """Divergences are zero on the diagonal."""
    observation, crossing = seen(causal=True)
    words = words_of(observation, crossing)
    same = torch.tensor([0, 1])
    for each in DIVERGENCES.values():
        assert each.compare(words, same, same).abs().max() < 1e-6


def test_too_few_rows_do_not_correlate():
    """Where two words can look at the term, any two columns correlate perfectly: not defined."""
    observation, crossing = seen(causal=True)
    short = replace(crossing, ordinary=crossing.ordinary & (torch.arange(7) < 5))
    same = torch.tensor([0, 1])
    found = {
        name: each.compare(words_of(observation, short), same, same) for name, each in DIVERGENCES.items()
    }
    assert found["column_difference"].isnan().all()
    assert found["divergence"].isfinite().all()
