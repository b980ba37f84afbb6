"""Metrics of what heads put out and of the weights that carry it."""

from importlib import import_module

import pytest
import torch

from audit.observations import AttentionObservation, WeightObservation
from tests.metrics.synthetic import attention


def _outputs(*norms: float) -> AttentionObservation:
    output = torch.tensor(norms)[None, :, None, None] * torch.tensor([0.6, 0.8]).expand(1, 1, 9, 2)
    return attention(torch.eye(9).expand(1, len(norms), 9, 9), head_output=output)


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ((1.0, 2.0, 3.0), (0.5, 1.0, 1.5)),
        ((0.0, 4.0), (0.0, 2.0)),
        ((0.0, 0.0), (0.0, 0.0)),
        ((7.0,), (1.0,)),
    ],
)
def test_head_outputs_are_measured_against_the_mean_head(
    norms: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    """A head without output reads 0, in a layer that is silent altogether as well."""
    value = import_module("audit.metrics.head_output_norm").METRIC.compute(_outputs(*norms))

    assert expected == pytest.approx(value[0].tolist())


def test_head_outputs_that_were_not_seen_are_undefined() -> None:
    """No head output in the observation: NaN for every head, never a number."""
    value = import_module("audit.metrics.head_output_norm").METRIC.compute(attention(torch.eye(9)))

    assert value.isnan().all()


def test_the_norm_of_output_weights_is_that_of_each_slice() -> None:
    """Frobenius: sqrt of the sum of squares; a slice of zeros reads exactly 0."""
    output = torch.stack((torch.full((2, 8), 0.5), torch.zeros(2, 8)))
    value = import_module("audit.metrics.output_weight_norm").METRIC.compute(WeightObservation(0, output))

    assert value.tolist() == [2.0, 0.0]


def test_the_norm_of_queries_and_keys_is_that_of_their_product() -> None:
    """Against the product written out, for four heads on two key heads; a rotation of both changes nothing."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(4, 3, 10, generator=generator, dtype=torch.float64)
    key = torch.randn(2, 3, 10, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    metric = import_module("audit.metrics.query_key_norm").METRIC
    expected = [torch.linalg.matrix_norm(query[h].T @ key[h // 2], 2) for h in range(4)]

    for q, k in ((query, key), (turn @ query, turn @ key)):
        found = metric.compute(WeightObservation(0, None, q, k))
        torch.testing.assert_close(found, torch.stack(expected))
    assert metric.compute(WeightObservation(0, None)).isnan().all()


def test_the_norm_bounds_every_score() -> None:
    """No two tokens get more than the norm times their lengths, and one pair gets it."""
    generator = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, 1, 4, 8, generator=generator, dtype=torch.float64)
    norm = float(
        import_module("audit.metrics.query_key_norm").METRIC.compute(WeightObservation(0, None, query, key))
    )
    tokens = torch.nn.functional.normalize(
        torch.randn(200, 8, generator=generator, dtype=torch.float64), dim=-1
    )
    scores = (tokens @ query[0].T) @ (tokens @ key[0].T).T

    assert 0.3 * norm < float(scores.abs().max()) <= norm
