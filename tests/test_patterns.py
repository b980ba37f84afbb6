"""A pattern made again from queries and keys, tile by tile, is the pattern that was never stored."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import audit.patterns
from audit import catalog
from audit.definitions import Metric
from audit.observations import AttentionObservation
from audit.patterns import Recomputed, Stored, parts

LENGTH = 70
ATTENTION = [
    metric
    for metric in catalog.metrics().values()
    if isinstance(metric, Metric) and metric.observes == "attention"
]


def made(*, causal: bool, padded: bool, bias: bool, length: int = LENGTH) -> AttentionObservation:
    """Three samples of four heads that share two key heads; one head has a sink, one looks back one token."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(3, 4, length, 16, generator=generator)
    key = torch.randn(3, 2, length, 16, generator=generator)
    query[:, 1] = 3.0 * query[:, 1] + 6.0 * key[:, :1, 0]
    query[:, 2, 1:] = 6.0 * key[:, 1, :-1]
    tokens = torch.ones(3, length, dtype=torch.bool)
    if padded:
        tokens[0, -9:] = tokens[1, -30:] = False
    added = None
    if padded or bias:
        visible = tokens[:, None, None] & torch.ones(length, length, dtype=torch.bool).tril(
            0 if causal else length
        )
        slope = -0.05 * (torch.arange(length)[:, None] - torch.arange(length)).abs() * bias
        added = torch.where(visible, slope, -torch.inf)
    scores = (query / 4.0) @ key.repeat_interleave(2, 1).mT
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1) & torch.tensor(causal)
    full = scores.masked_fill(hidden, -torch.inf) if added is None else scores + added
    source = Recomputed(
        query,
        key,
        full.logsumexp(-1),
        0.25,
        causal=causal and added is None,
        added=added,
        visible=None if added is None else added > -1e4,
    )
    value = torch.randn(3, 2, length, 8, generator=generator)
    return AttentionObservation(
        layer=0,
        kind="self",
        source=source,
        queries=tokens,
        keys=tokens,
        special=torch.zeros_like(tokens),
        query=query,
        key=key,
        value=value,
        head_output=full.softmax(-1) @ value.repeat_interleave(2, 1),
    )


def stored(observation: AttentionObservation) -> AttentionObservation:
    """The same with the pattern in memory, from a softmax in float64."""
    assert isinstance(observation.source, Recomputed)
    source = observation.source
    scores = (source.query.double() * source.scale) @ source.key.double().repeat_interleave(2, 1).mT
    length = source.shape[-1]
    visible = source.visible
    if visible is None:
        visible = torch.ones(1, 1, length, length, dtype=torch.bool).tril(0 if source.causal else length)
    scores = scores if source.added is None else scores + source.added
    pattern = scores.masked_fill(~visible, -torch.inf).softmax(-1)
    return replace(observation, source=Stored(pattern, visible.expand(3, -1, -1, -1), scores))


CASES: list[dict[str, Any]] = [
    {"causal": causal, "padded": padded, "bias": bias}
    for causal in (False, True)
    for padded in (False, True)
    for bias in (False, True)
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join(n for n, on in case.items() if on) or "plain"
)
@pytest.mark.parametrize("metric", ATTENTION, ids=lambda metric: metric.name)
def test_a_metric_reads_the_same_of_either(metric: Metric, case: dict[str, Any]) -> None:
    """Entropies and masses within 1e-4, spectra within 1e-3, with padding, biases and grouped keys."""
    observation = made(**case)
    expected = metric.compute(stored(observation))

    within = 1e-3 if metric.spectral else 1e-4
    torch.testing.assert_close(metric.compute(observation), expected, rtol=within, atol=2e-6, equal_nan=True)


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join(n for n, on in case.items() if on) or "plain"
)
def test_small_tiles_add_up_to_the_same(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One tile, or many of few heads and few keys: sinks and their columns too."""
    whole = made(**case)
    monkeypatch.setattr(audit.patterns, "TILE", 3000)
    cut = replace(whole)
    monkeypatch.setattr("audit.gathering.parts", lambda *given, **more: parts(*given, keys=11, **more))

    assert len(list(parts(cut.source, cut.mask, keys=11))) > 12
    for name, expected in whole.sums._asdict().items():
        if isinstance(expected, Tensor):
            torch.testing.assert_close(getattr(cut.sums, name), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(cut.sinks, whole.sinks)
    assert bool(whole.sinks[:, 1, 0].all())


def test_no_tile_of_a_causal_pattern_lies_where_nothing_is_seen() -> None:
    """Half of a long pattern is never made."""
    long = made(causal=True, padded=False, bias=False, length=1024)
    entries = sum(
        (part.rows.stop - part.rows.start) * (part.keys.stop - part.keys.start)
        for part in parts(long.source, long.mask)
        if part.samples.start == 0 and part.heads.start == 0
    )

    assert entries < 0.6 * 1024 * 1024


def test_rows_are_those_of_the_whole() -> None:
    """Any rows of each sample, in any order, over all keys or the first of them."""
    for case in CASES:
        observation = made(**case)
        which = torch.tensor([[3, 1], [0, 20], [39, 38]])
        rows, some = observation.source.rows(which), observation.source.rows(which, 17)
        for sample in range(3):
            expected = observation.whole.pattern[sample][:, which[sample]]
            torch.testing.assert_close(rows[sample], expected, rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(some[sample], expected[..., :17], rtol=1e-5, atol=1e-7)
