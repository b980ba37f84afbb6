"""Every metric on real models against numpy loops over the same eager attentions, within a relative error of a millionth."""

import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import audit.metrics
from audit.definitions import Metric
from tests.metrics import naive, real_observations
from tests.metrics.real_observations import Seen

RELATIVE = 1e-6  # promised are 1e-4; seen are 1e-11
UNSEEN = {
    "score_spread", "freezing", "entropy_floor", "turned_sigma_1", "query_key_norm", "mixing_ratio", "sink_drain",
    "far_mass",
}  # scores, queries, keys and values are not in these observations, nor rows that see 64 keys  # fmt: skip
MODULES = [
    import_module(f"audit.metrics.{found.name}") for found in pkgutil.iter_modules(audit.metrics.__path__)
]
METRICS: list[Metric] = [
    module.METRIC
    for module in MODULES
    if isinstance(getattr(module, "METRIC", None), Metric)
    and module.METRIC.name not in UNSEEN
    and module.METRIC.observes != "gradient"  # MiniLM has no loss; these have a file of their own
]


@pytest.fixture(scope="module")
def encoder(minilm: Path) -> Seen:
    return real_observations.minilm(minilm)


@pytest.fixture(scope="module")
def decoder(smollm2_gguf: Path) -> Seen:
    return real_observations.smollm2(smollm2_gguf)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_equals_its_formula_on_a_real_encoder(metric: Metric, encoder: Seen) -> None:
    """all-MiniLM-L6-v2, all layers, three texts padded on the right."""
    _compare(metric, encoder, range(6))


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_equals_its_formula_on_a_real_causal_model(metric: Metric, decoder: Seen) -> None:
    """SmolLM2-135M from its GGUF, four layers from first to last, three texts padded on the left."""
    _compare(metric, decoder, (0, 9, 20, 29))


def _compare(metric: Metric, seen: Seen, layers: range | tuple[int, ...]) -> None:
    for layer in layers:
        observation = getattr(seen, metric.observes)[layer]
        expected, actual = _naive(metric, seen, layer), metric.compute(observation).numpy()

        assert np.isfinite(expected).any()
        np.testing.assert_allclose(actual, expected, rtol=RELATIVE, atol=1e-12, err_msg=f"layer {layer}")


def _naive(metric: Metric, seen: Seen, layer: int) -> NDArray[np.float64]:
    if metric.observes == "weights":
        return naive.weights(seen.weights[layer])
    if metric.observes == "residual":
        return naive.residual(metric.name, seen.residual[layer])
    if metric.name == "head_output_norm":
        return naive.head_output_norm(seen.attention[layer])
    return naive.attention(metric.name, seen.attention[layer])
