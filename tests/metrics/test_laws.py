"""The laws that every metric keeps, whatever it measures."""

import pkgutil
from collections.abc import Callable
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

import audit.metrics
from audit.definitions import Metric
from audit.observations import (
    AttentionObservation,
    GradientObservation,
    ResidualObservation,
    WeightObservation,
)
from audit.patterns import Stored
from tests.metrics.synthetic import (
    padded_attention,
    padded_gradient,
    padded_residual,
    random_attention,
    random_gradient,
    random_residual,
    samples,
)

PIECES = {
    module.name: getattr(import_module(f"audit.metrics.{module.name}"), "METRIC", None)
    for module in pkgutil.iter_modules(audit.metrics.__path__)
}
MODULES = sorted(name for name, metric in PIECES.items() if isinstance(metric, Metric))
METRICS: list[Metric] = [PIECES[name] for name in MODULES]
UNITS = {"fraction", "keys", "tokens", "rank", "nats", "1"}

Observation = AttentionObservation | ResidualObservation | GradientObservation
ATTENTION: dict[str, Callable[[], Observation]] = {
    "bidirectional": lambda: random_attention(0),
    "causal": lambda: random_attention(1, causal=True),
    "cross": lambda: random_attention(2, cross=True),
}
RESIDUAL: dict[str, Callable[[], Observation]] = {"residual": lambda: random_residual(3)}
GRADIENT: dict[str, Callable[[], Observation]] = {"gradient": lambda: random_gradient(5)}
KINDS: dict[str, dict[str, Callable[[], Observation]]] = {
    "attention": ATTENTION,
    "residual": RESIDUAL,
    "gradient": GRADIENT,
    "weights": {},
}
CASES = [
    pytest.param(metric, make, id=f"{metric.name}-{kind}")
    for metric in METRICS
    for kind, make in KINDS[metric.observes].items()
]


def _padded(observation: Observation, left: int, right: int) -> Observation:
    if isinstance(observation, AttentionObservation):
        return padded_attention(observation, left, right)
    if isinstance(observation, GradientObservation):
        return padded_gradient(observation, left, right)
    return padded_residual(observation, left, right)


def _sample(observation: Observation, index: int) -> Observation:
    return samples(observation, slice(index, index + 1))


def _same(expected: Tensor, actual: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("metric", METRICS, ids=MODULES)
def test_a_metric_is_named_after_its_file_and_explains_itself(metric: Metric) -> None:
    """File stem, JSON key and command-line word are one; no text that a report prints is empty or two lines."""
    texts = (
        metric.title, metric.summary, metric.direction, metric.healthy, metric.formula, metric.reference,
        metric.absent_when,
    )  # fmt: skip

    assert MODULES[METRICS.index(metric)] == metric.name
    assert all(text.strip() == text and text and "\n" not in text for text in texts)
    assert metric.unit in UNITS
    assert "band" in metric.healthy or "Sun et al." in metric.healthy


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_a_metric_gives_one_float64_per_sample_and_head(metric: Metric, make: Callable[[], Any]) -> None:
    """[batch, head] for heads, [batch] for layers, always float64."""
    value = metric.compute(make())

    assert value.dtype == torch.float64
    assert tuple(value.shape) == ((3, 4) if metric.axes == "head" else (3,))


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_a_value_is_undefined_or_finite_and_inside_the_span(metric: Metric, make: Callable[[], Any]) -> None:
    """No infinity, and nothing outside the values that the metric says it can take."""
    value = metric.compute(make())
    defined = value[~value.isnan()]
    low, high = metric.span

    assert defined.isfinite().all()
    assert low is None or (defined >= low - 1e-12).all()
    assert high is None or (defined <= high + 1e-12).all()


@pytest.mark.parametrize("sides", [(3, 0), (0, 4), (5, 2)], ids=["left", "right", "both"])
@pytest.mark.parametrize(("metric", "make"), CASES)
def test_padding_changes_nothing(metric: Metric, make: Callable[[], Any], sides: tuple[int, int]) -> None:
    """Padding on either side, whatever stands in its rows, moves no value."""
    observation = make()

    _same(metric.compute(observation), metric.compute(_padded(observation, *sides)))


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_splitting_a_batch_changes_nothing(metric: Metric, make: Callable[[], Any]) -> None:
    """A sample has the same value alone as among others."""
    observation = make()
    alone = [metric.compute(_sample(observation, index)) for index in range(3)]

    _same(metric.compute(observation), torch.cat(alone))


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_a_metric_leaves_what_it_reads_untouched(metric: Metric, make: Callable[[], Any]) -> None:
    """Metrics share one observation: none may write into it."""
    observation, untouched = make(), make()
    metric.compute(observation)

    for field in fields(observation):
        if isinstance(before := getattr(untouched, field.name), Tensor):
            torch.testing.assert_close(getattr(observation, field.name), before)


BROKEN = (
    "pattern", "head_output", "scores", "before", "after", "attention_update", "mlp_update", "hidden", "entering",
    "hidden_gradient", "entering_gradient", "gradient_norms",
)  # fmt: skip


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_a_sample_that_is_not_finite_is_undefined_and_alone_in_it(
    metric: Metric, make: Callable[[], Any]
) -> None:
    """NaN inside one sample makes its values NaN, raises nothing and touches no other sample."""
    observation, healthy = make(), metric.compute(make())
    for field in BROKEN:
        if (tensor := getattr(observation, field, None)) is not None:
            (tensor[1] if tensor.dim() == 2 else tensor[1, ..., -1, :])[...] = torch.nan
    value = metric.compute(observation)

    assert value[1].isnan().all()
    _same(healthy[[0, 2]], value[[0, 2]])


@pytest.mark.parametrize(("metric", "make"), CASES)
def test_a_metric_reads_half_precision(metric: Metric, make: Callable[[], Any]) -> None:
    """An observation in bfloat16 is measured in float64 like any other."""
    observation = make()
    halved = replace(
        observation,
        **{
            field.name: value.bfloat16()
            for field in fields(observation)
            if isinstance(value := getattr(observation, field.name), Tensor) and value.is_floating_point()
        },
    )

    assert metric.compute(halved).dtype == torch.float64


def test_metrics_of_weights_give_one_float64_per_head() -> None:
    """A metric of weights is [head]; where nothing was seen it is undefined."""
    output, query = torch.randn(2, 4, 3, 6, generator=torch.Generator().manual_seed(0))
    for metric in METRICS:
        if metric.observes == "weights":
            value = metric.compute(WeightObservation(layer=0, output=output, query=query, key=query[:2]))

            assert (value.dtype, tuple(value.shape)) == (torch.float64, (4,))
            assert metric.compute(WeightObservation(layer=0, output=None)).isnan().all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("metric", [m for m in METRICS if m.observes == "attention"], ids=lambda m: m.name)
def test_a_head_that_computes_nan_has_no_number(metric: Metric, causal: bool) -> None:
    """Absent is never zero: what cannot be computed is not published as a measurement; other heads keep theirs."""
    whole = random_attention(4, causal=causal)
    assert whole.head_output is not None
    assert whole.scores is not None
    pattern, scores, output = whole.pattern.clone(), whole.scores.clone(), whole.head_output.clone()
    pattern[:, 1] = scores[:, 1] = output[:, 1] = torch.nan
    broken = replace(whole, source=Stored(pattern, whole.visible, scores), head_output=output, value=None)
    found = metric.compute(broken)
    assert found[:, 1].isnan().all()
