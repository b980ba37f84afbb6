"""Metrics of gradients where the answer is known, and on BERT-tiny against a backward pass of our own."""

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, BertForMaskedLM

from audit.checkpoint.opening import open_checkpoint
from audit.interventions.effects import Loss, objective
from audit.models.coverage import survey
from audit.models.gradients import Backward
from audit.models.loading import load_model
from audit.observations import PARTS, Batch, GradientObservation
from tests.metrics.real_observations import BRIDGE
from tests.metrics.synthetic import NAN, gradient

Array = NDArray[np.float64]
NAMES = (*(f"{part}_gradient" for part in PARTS), "hidden_gradient", "gradient_exponent", "head_importance")


def _value(name: str, observation: GradientObservation) -> Any:
    return import_module(f"audit.metrics.{name}").METRIC.compute(observation)[0].tolist()


@pytest.mark.parametrize(("at", "part"), list(enumerate(PARTS)))
def test_the_gradient_of_a_matrix_is_weighed_with_its_size(at: int, part: str) -> None:
    """Norm of the gradient times norm of the matrix; another part's numbers do not enter."""
    norms, weights = torch.full((2, 1, 5), NAN, dtype=torch.float64)
    norms[0, at], weights[0, at] = 0.25, 8.0

    assert _value(f"{part}_gradient", gradient(gradient_norms=norms, weight_norms=weights)) == 2.0


def test_rescaling_a_matrix_before_a_norm_changes_nothing() -> None:
    """A loss that looks at W x / |W x| only: W three times as large has a third of the gradient."""
    found = []
    for scale in (1.0, 3.0):
        generator = torch.Generator().manual_seed(0)
        weight = (scale * torch.randn(4, 3, generator=generator)).requires_grad_()
        out = weight @ torch.randn(3, generator=generator)
        (slope,) = torch.autograd.grad((out / out.norm())[0], weight)
        norms = torch.full((1, 5), float(slope.norm()))
        weights = torch.full((1, 5), float(weight.detach().norm()))
        found.append(_value("query_gradient", gradient(gradient_norms=norms, weight_norms=weights)))

    assert found[0] == pytest.approx(found[1], rel=1e-5)


STREAM = torch.tensor([[[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]]])
SLOPES = torch.tensor([[[1.0, 0.0], [0.0, -3.0], [0.0, 0.0]]])


def test_the_gradient_of_the_stream_is_weighed_token_by_token() -> None:
    """5 x 1 + 2 x 3 + 1 x 0; a second attention layer of the block does not say it again."""
    assert _value("hidden_gradient", gradient(hidden=STREAM, hidden_gradient=SLOPES)) == 11.0
    assert math.isnan(
        _value("hidden_gradient", gradient(hidden=STREAM, hidden_gradient=SLOPES, opens_block=False))
    )
    assert math.isnan(_value("hidden_gradient", gradient()))


def test_the_exponent_is_the_growth_on_the_way_back() -> None:
    """A gradient twice as large behind the block's entry: ln 4; none at all: undefined."""
    doubled = gradient(entering_gradient=2 * SLOPES, hidden_gradient=SLOPES)
    assert _value("gradient_exponent", doubled) == pytest.approx(math.log(4))
    vanished = gradient(entering_gradient=0 * SLOPES, hidden_gradient=SLOPES)
    assert math.isnan(_value("gradient_exponent", vanished))
    assert math.isnan(_value("gradient_exponent", gradient(hidden_gradient=SLOPES)))


def test_importance_has_unit_length_over_the_layer() -> None:
    """Slopes 3, -4 and 0 read .6, .8 and 0; what tokens say against each other cancels."""
    output = torch.ones(1, 3, 3, 1)
    slopes = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -4.0, 1.0], [2.0, -2.0, 0.0]])[None, :, :, None]

    assert _value("head_importance", gradient(head_output=output, head_gradient=slopes)) == pytest.approx(
        [0.6, 0.8, 0.0]
    )
    assert all(math.isnan(v) for v in _value("head_importance", gradient()))


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_equals_its_formula_on_a_real_model(
    name: str, real: tuple[list[Any], list[dict[str, Any]]]
) -> None:
    """BERT-tiny, both layers, a sentence with masked words."""
    for observation, naive in zip(*real, strict=True):
        expected = np.atleast_1d(np.asarray(_naive(name, naive), dtype=np.float64))
        np.testing.assert_allclose(np.atleast_1d(_value(name, observation)), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def real(bert_tiny: Path) -> tuple[list[GradientObservation], list[dict[str, Any]]]:
    """What is observed of both layers, and the same from hooks on transformers' own model."""
    loaded = load_model(open_checkpoint(bert_tiny))
    tokenizer = AutoTokenizer.from_pretrained(bert_tiny)
    encoded = tokenizer(BRIDGE, return_tensors="pt", return_special_tokens_mask=True)
    batch = Batch(
        encoded["input_ids"],
        encoded["attention_mask"].bool(),
        encoded["special_tokens_mask"].bool(),
        (0,),
        ("a",),
    )
    measure = objective(loaded, seed=0)
    assert isinstance(measure, Loss)
    asked = measure.differentiable(batch)
    assert asked is not None
    observations = list(Backward(loaded.model, survey(loaded.model)).observe(*asked))
    ids = asked[0].inputs["input_ids"]
    return observations, _layers(bert_tiny, ids, encoded["input_ids"])


def _layers(folder: Path, ids: Tensor, targets: Tensor) -> list[dict[str, Any]]:
    model = BertForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    heads: list[Tensor] = []

    def keep(_: Any, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].retain_grad()
        heads.append(inputs[0])

    for block in model.bert.encoder.layer:
        block.attention.output.dense.register_forward_pre_hook(keep)
    output = model(input_ids=ids, output_hidden_states=True)
    for hidden in output.hidden_states:
        hidden.retain_grad()
    changed = (ids != targets)[0]
    cross_entropy(output.logits[0, changed], targets[0, changed]).backward()
    return [
        {
            "block": block,
            "heads": heads[index],
            "before": None if index == 0 else output.hidden_states[index],
            "after": output.hidden_states[index + 1],
        }
        for index, block in enumerate(model.bert.encoder.layer)
    ]


def _naive(name: str, seen: dict[str, Any]) -> float | list[float]:
    """The metric straight from its formula, in numpy."""
    block, after = seen["block"], seen["after"]
    matrices = {
        "query": [block.attention.self.query],
        "key": [block.attention.self.key],
        "value": [block.attention.self.value],
        "output": [block.attention.output.dense],
        "mlp": [block.intermediate.dense, block.output.dense],
    }
    if (part := name.removesuffix("_gradient")) in matrices:
        weights = [m.weight for m in matrices[part]]
        return math.sqrt(sum(_square(w.grad) for w in weights)) * math.sqrt(sum(_square(w) for w in weights))
    if name == "hidden_gradient":
        return sum(math.sqrt(_square(h) * _square(g)) for h, g in zip(after[0], after.grad[0], strict=True))
    if name == "gradient_exponent":
        before = seen["before"]
        return NAN if before is None else math.log(_square(before.grad) / _square(after.grad))
    slopes = (_array(seen["heads"]) * _array(seen["heads"].grad)).reshape(-1, 2, 64)
    each = [abs(float(slopes[:, head].sum())) for head in range(2)]
    return [slope / math.hypot(*each) for slope in each]


def _array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().double().numpy())


def _square(tensor: Tensor) -> float:
    return float((_array(tensor) ** 2).sum())
