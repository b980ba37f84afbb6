"""Quantities of a whole corpus: laws that all of them keep, and patterns with known answers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from audit import catalog
from audit.corpus import Sums
from audit.definitions import CorpusMetric
from audit.observations import AttentionObservation
from tests.metrics.synthetic import attention, padded_attention, random_attention, samples
from tests.rules.cases import layers

METRICS = [metric for metric in catalog.metrics().values() if isinstance(metric, CorpusMetric)]
BY_NAME = {metric.name: metric for metric in METRICS}
TEXTS = 4


def long_attention(seed: int, *, causal: bool = False, tokens: int = 101) -> AttentionObservation:
    """Texts long enough for every corpus metric; head 3 copies head 2, head 4 is positional, head 5 stares."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(TEXTS, 6, tokens, tokens, generator=generator, dtype=torch.float64)
    scores[:, 1] *= 4.0
    scores[:, 3] = scores[:, 2]
    scores[:, 4] = scores[:1, 4] * 3.0
    scores[:, 5, :, 7] += 12.0
    hidden = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    pattern = scores.masked_fill(hidden, -torch.inf).softmax(-1) if causal else scores.softmax(-1)
    value = torch.randn(TEXTS, 3, tokens, 8, generator=generator, dtype=torch.float64)
    output = pattern @ value.repeat_interleave(2, 1)
    return attention(pattern, causal=causal, value=value, head_output=output)


def reduced(metric: CorpusMetric, *observations: AttentionObservation) -> Tensor:
    """What `metric` makes of batches fed one after the other."""
    sums = Sums([metric])
    for observation in observations:
        sums.add("attention", observation, 0)
    total = sums.total(metric, 0)
    assert total is not None
    return metric.reduce(total)


def rows(observation: AttentionObservation, which: slice) -> AttentionObservation:
    """Some samples of a batch."""
    return samples(observation, which)


MADE: dict[str, Callable[[], AttentionObservation]] = {
    "bidirectional": lambda: long_attention(0, tokens=100),
    "causal": lambda: long_attention(1, causal=True),
    "short": lambda: random_attention(2),
    "cross": lambda: random_attention(3, cross=True),
}
CASES = [pytest.param(m, make, id=f"{m.name}-{kind}") for m in METRICS for kind, make in MADE.items()]


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_the_size_of_a_batch_does_not_show(metric: CorpusMetric, make: Callable[[], Any]) -> None:
    """One batch, or one sample at a time: the same sums, in the same order, but for the rounding of products."""
    observation = make()
    single = [rows(observation, slice(i, i + 1)) for i in range(len(observation.pattern))]

    expected, actual = reduced(metric, observation), reduced(metric, *single)

    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("sides", [(3, 0), (0, 4), (5, 2)], ids=["left", "right", "both"])
@pytest.mark.parametrize(("metric", "make"), CASES)
def test_padding_changes_nothing(
    metric: CorpusMetric, make: Callable[[], Any], sides: tuple[int, int]
) -> None:
    """Padding on either side, whatever stands in its rows."""
    observation = make()

    torch.testing.assert_close(
        reduced(metric, padded_attention(observation, *sides)),
        reduced(metric, observation),
        rtol=1e-9,
        atol=1e-10,
        equal_nan=True,
    )


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_a_value_is_undefined_or_inside_the_span(metric: CorpusMetric, make: Callable[[], Any]) -> None:
    """float64, [head] or one number, and nothing outside of what the metric says."""
    value = reduced(metric, make())
    defined = value[~value.isnan()]
    low, high = metric.span

    assert value.dtype == torch.float64
    assert value.shape == ((make().pattern.shape[1],) if metric.axes == "head" else ())
    assert (defined >= low - 1e-9).all()
    assert high is None or (defined <= high + 1e-9).all()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_sample_that_is_not_finite_is_left_out(metric: CorpusMetric) -> None:
    """The others say what they said without it."""
    observation, whole = long_attention(1, causal=True), long_attention(1, causal=True)
    observation.pattern[-1], observation.head_output[-1] = torch.nan, torch.nan  # type: ignore[index]

    torch.testing.assert_close(
        reduced(metric, observation), reduced(metric, rows(whole, slice(0, TEXTS - 1))), equal_nan=True
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_corpus_metric_explains_itself(metric: CorpusMetric) -> None:
    """No text that a report prints is empty or two lines."""
    texts = (metric.title, metric.summary, metric.direction, metric.healthy, metric.formula, metric.reference)
    assert all(text.strip() == text and text and "\n" not in text for text in texts)
    assert "band" in metric.healthy


@pytest.mark.parametrize("causal", [False, True])
def test_a_positional_head_does_not_diverge_between_texts(causal: bool) -> None:
    """0 for the same pattern in all texts, about 1 for independent ones; shuffled rows tell them apart."""
    observation = long_attention(4, causal=causal)
    between = reduced(BY_NAME["input_divergence"], observation)
    shuffled = reduced(BY_NAME["shuffled_divergence"], observation)

    assert between[4] == pytest.approx(0.0, abs=1e-12)
    assert shuffled[4] == pytest.approx(1.0, abs=0.1)
    torch.testing.assert_close(between[:3], torch.ones(3).double(), atol=0.2, rtol=0.0)


def test_divergence_between_texts_is_its_formula() -> None:
    """Against loops over all pairs of texts."""
    observation = long_attention(5)
    away = observation.pattern[:, 0, [16, 24, 32, 48, 64, 96]] - 1 / 101
    pairs = [(s, t) for s in range(TEXTS) for t in range(TEXTS) if s != t]
    distance = sum(((away[s] - away[t]) ** 2).sum() for s, t in pairs) / len(pairs)

    assert reduced(BY_NAME["input_divergence"], observation)[0] == pytest.approx(
        float(distance / (2 * (away**2).sum() / TEXTS)), rel=1e-9
    )


def test_an_even_pattern_has_no_divergence() -> None:
    """Nothing departs from even attention: the quantity is undefined, not 0."""
    even = torch.full((3, 2, 40, 40), 1 / 40, dtype=torch.float64)
    assert reduced(BY_NAME["input_divergence"], attention(even)).isnan().all()


def test_sinks_do_not_make_a_head_static() -> None:
    """Half on the first token in every text, the rest free: what is left diverges."""
    observation = long_attention(6)
    pattern = 0.5 * observation.pattern
    pattern[..., 0] += 0.5

    assert reduced(BY_NAME["input_divergence"], attention(pattern))[0] > 0.8


def test_a_head_that_stares_at_one_place_is_told_from_one_that_rests_on_a_sink() -> None:
    """Nearly all mass on the eighth token counts; on the first token, a sink, it does not."""
    observation = long_attention(7, causal=True)
    assert reduced(BY_NAME["fixed_column_mass"], observation)[5] > 0.95

    sink = torch.zeros(TEXTS, 6, 101, 101)
    sink[..., 0] = 1.0
    assert (reduced(BY_NAME["fixed_column_mass"], attention(sink, causal=True)) == 0.0).all()


def test_a_place_that_moves_with_the_text_is_no_fixed_column() -> None:
    """Each text its own column: a head that reads the text."""
    moving = torch.zeros(TEXTS, 4, 101, 101)
    for text in range(TEXTS):
        moving[text, 0, :, 10 + text] = 1.0
    moving[:, 1:] = 1 / 101

    assert reduced(BY_NAME["fixed_column_mass"], attention(moving))[0] == pytest.approx(1 / TEXTS)


def test_a_copied_head_is_a_twin_and_an_independent_one_is_not() -> None:
    """Heads 2 and 3 have one pattern and one value; heads 0 and 1 share values only."""
    found = reduced(BY_NAME["twin_similarity"], long_attention(8))

    torch.testing.assert_close(found[2:4], torch.ones(2).double())
    assert (found[:2] < 0.5).all()


def test_equal_patterns_over_different_values_are_no_twins() -> None:
    """Both outputs and patterns must agree."""
    observation = long_attention(9)
    assert observation.head_output is not None
    output = observation.head_output.clone()
    output[:, 3] = torch.randn(output[:, 3].shape, generator=torch.Generator().manual_seed(1)).double()

    assert reduced(BY_NAME["twin_similarity"], replace(observation, head_output=output))[2] < 0.5


def test_the_published_protocol_reads_the_first_hundred_tokens_of_a_causal_text() -> None:
    """101 tokens read as their first 100; shorter texts, and longer ones without a causal mask, give nothing."""
    long, cut = long_attention(1, causal=True), long_attention(1, causal=True)
    first = attention(cut.pattern[..., :100, :100], causal=True)
    for name in ("max_rank_100", "average_rank_100", "mass_columns_100"):
        assert reduced(BY_NAME[name], long) == reduced(BY_NAME[name], first)
        assert reduced(BY_NAME[name], long_attention(0)).isnan()
        assert reduced(BY_NAME[name], random_attention(0, causal=True)).isnan()


@pytest.mark.parametrize(("pattern", "rank"), [("even", 5.0), ("sink", 1.0), ("identity", 90.0)])
def test_the_published_protocol_gives_the_known_ranks(pattern: str, rank: float) -> None:
    """Causal, T = 100: even attention 5, 90% sink and 10% previous token 1, the identity 90."""
    eye = torch.eye(100, dtype=torch.float64)
    sink = torch.zeros(100, 100, dtype=torch.float64)
    sink[:, 0] = 1.0
    previous = torch.cat([sink[:1], eye[:-1]])
    made = {
        "even": torch.ones(100, 100).double().tril() / torch.arange(1, 101)[:, None],
        "sink": 0.9 * sink + 0.1 * previous,
        "identity": eye,
    }
    assert reduced(BY_NAME["max_rank_100"], attention(made[pattern], causal=True)) == rank


def test_metrics_with_the_same_parts_share_their_sums() -> None:
    """Three numbers of the protocol, one decomposition."""
    calls = []
    names = ("max_rank_100", "average_rank_100", "mass_columns_100")
    partial = BY_NAME[names[0]].partial

    def counted(observation: Any) -> Any:
        calls.append(observation)
        return partial(observation)

    sums = Sums([replace(BY_NAME[name], partial=counted) for name in names])
    sums.add("attention", long_attention(1, causal=True), 0)
    assert len(calls) == 1
    assert set(sums.measurements(layers(6))) == set(names)


def test_what_no_sample_has_is_absent_with_its_reason() -> None:
    """No sentinel number where no text was long enough."""
    sums = Sums([BY_NAME["max_rank_100"]])
    sums.add("attention", random_attention(0, causal=True), 0)
    found = sums.measurements(layers(4))["max_rank_100"]
    assert (found.value, found.absent) == (None, BY_NAME["max_rank_100"].absent_when)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_sums_of_pieces_add_up_to_the_whole(metric: CorpusMetric) -> None:
    """Samples and parts, in order; a piece without any adds nothing."""
    first, second = long_attention(0, causal=True), long_attention(1, causal=True)
    whole, one, other = (Sums([metric]) for _ in range(3))
    one.add("attention", first, 0)
    other.add("attention", second, 0)
    for part in (one, Sums([metric]), other):
        whole.absorb(part)
    found = whole.total(metric, 0)
    assert found is not None
    assert torch.equal(metric.reduce(found), reduced(metric, first, second))
    assert whole.measurements(layers(6))[metric.name].n == 2 * TEXTS
