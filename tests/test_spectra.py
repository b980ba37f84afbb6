"""Block iteration gives the singular values that a full decomposition gives, whatever the pattern."""

import pytest
import torch
from torch import Tensor

from audit.gathering import gather
from audit.numerics import singular_values
from audit.patterns import Recomputed, Stored
from audit.spectra import HELD, ROWS, SMALL_REST, VECTORS, Held, Spectrum, decompose, spectrum

T = 150  # longer than what is decomposed at once


def of(patterns: Tensor, *, causal: bool = False) -> Spectrum:
    """The spectrum of patterns [head, query, key]."""
    visible = torch.ones(1, 1, *patterns.shape[-2:], dtype=torch.bool)
    source = Stored(patterns[None], visible.tril() if causal else visible)
    mask = source.mask(torch.ones(1, patterns.shape[-2], dtype=torch.bool))
    return spectrum(source, mask, patterns.double().square().sum((-2, -1))[None])


def softmaxes(tokens: int, *, causal: bool) -> Tensor:
    """Eight heads from nearly even to one key per row, two of them with a sink."""
    scores = torch.randn(8, tokens, tokens, generator=torch.Generator().manual_seed(0))
    scores *= torch.tensor([0.01, 0.3, 1.0, 2.0, 4.0, 8.0, 1.0, 4.0])[:, None, None]
    scores[6:, :, 0] += 6.0
    hidden = torch.ones(tokens, tokens, dtype=torch.bool).triu(1) & torch.tensor(causal)
    return scores.masked_fill(hidden, -torch.inf).softmax(-1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("tokens", [40, T, ROWS + 70])
def test_the_first_two_values_the_energy_and_the_rest_are_those_of_a_decomposition(
    tokens: int, causal: bool
) -> None:
    """Short patterns are decomposed, longer ones iterated, in one block of rows or in two: within 1e-3."""
    patterns = softmaxes(tokens, causal=causal)
    found, exact = of(patterns, causal=causal), singular_values(patterns)

    torch.testing.assert_close(found.values[0, :, :2], exact[:, :2], rtol=1e-3, atol=0)
    torch.testing.assert_close(found.energy[0], exact.square().sum(-1), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.rest[0].sqrt(), exact[:, 1:].square().sum(-1).sqrt(), rtol=1e-3, atol=0)


def test_a_head_that_looks_at_the_token_before_has_a_flat_spectrum_and_gets_it_exactly() -> None:
    """All its values are 1: no iteration could tell one from the next."""
    shifted = torch.eye(T).roll(-1, -1) + 1e-3 * torch.rand(T, T, generator=torch.Generator().manual_seed(0))
    found, exact = of(shifted[None]), singular_values(shifted[None])

    torch.testing.assert_close(found.values[0, 0], exact[0, :VECTORS], rtol=1e-6, atol=0)


def test_values_that_crowd_behind_the_second_are_filtered_away(monkeypatch) -> None:
    """Seventeen values within a fifth of each other beside one ten times as large, and no whole decomposition."""
    monkeypatch.setattr("audit.spectra.singular_values", None)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(T, T, generator=generator))[0] for _ in range(2))
    values = torch.cat([torch.tensor([10.0, 1.0]), 0.95 * 0.99 ** torch.arange(T - 2)])
    matrix = (left * values @ right)[None]

    found = decompose(
        Held([(slice(0, T), slice(0, T), matrix)]), matrix.double().square().sum((-2, -1)), T, T
    )

    torch.testing.assert_close(found.values[0, :2].float(), values[:2], rtol=1e-4, atol=0.0)


def test_what_is_left_beside_one_column_is_not_lost() -> None:
    """A sink head with a part in a million elsewhere: the second value is 1e-6 of the first, and so is the rest."""
    pattern = torch.zeros(T, T, dtype=torch.float64)
    pattern[:, 0] = 1.0
    pattern[0, :2] = torch.tensor([1 - 1e-6, 1e-6])
    found, exact = of(pattern[None]), singular_values(pattern[None])

    assert float(found.rest.sqrt()) == pytest.approx(1e-6, rel=0.05)
    assert float(found.values[0, 0, 0]) == pytest.approx(float(exact[0, 0]), rel=1e-9)


@pytest.mark.parametrize("tokens", [100, 128, 200, 300])
@pytest.mark.parametrize("held", [True, False])
def test_what_a_causal_sink_leaves_counts_where_no_tile_lies(tokens: int, held: bool) -> None:
    """A thousandth beside the first value: the product of its vectors is not 0 above the diagonal, the pattern is."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 2, tokens, 8, generator=generator)
    key[..., 0, :], query[..., 0], key[..., 0, 0] = 0.0, 1.0, 7.5 * 8**0.5
    scores = (query @ key.mT / 8**0.5).masked_fill(
        torch.ones(tokens, tokens, dtype=torch.bool).triu(1), -torch.inf
    )
    source = Recomputed(query=query, key=key, normaliser=scores.logsumexp(-1), scale=8**-0.5, causal=True)
    mask = source.mask(torch.ones(1, tokens, dtype=torch.bool))
    patterns = scores.double().softmax(-1)
    energy = patterns.square().sum((-2, -1))
    if held:
        found = gather(source, mask, strong=0.3, witnesses=torch.tensor([8]), spectral=True).spectrum
    else:
        found = spectrum(source, mask, energy)

    exact = torch.linalg.svdvals(patterns)[..., 1:].square().sum(-1)
    assert found is not None
    assert float((exact / energy).max()) < SMALL_REST
    torch.testing.assert_close(found.rest.sqrt(), exact.sqrt(), rtol=1e-3, atol=0)


def test_a_pattern_that_is_not_finite_has_no_values_and_the_others_keep_theirs() -> None:
    """NaN in one head is none in the next."""
    patterns = softmaxes(T, causal=False)
    patterns[3, 5, 5] = torch.nan
    found = of(patterns)

    assert found.values[0, 3].isnan().all()
    assert found.values[0, [2, 4]].isfinite().all()


def test_the_companions_of_a_pattern_do_not_show() -> None:
    """One head alone, or among more than are held at once."""
    patterns = softmaxes(ROWS, causal=True)
    many = patterns.repeat(1 + HELD // patterns.numel(), 1, 1)

    torch.testing.assert_close(
        of(many, causal=True).values[0, 2], of(patterns[2:3], causal=True).values[0, 0]
    )
