"""Batches to feed and receivers that keep what they are handed, for the tests of this folder."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from audit.models.coverage import survey
from audit.models.inputs import model_inputs, ordinary_ids
from audit.models.observing import Pass, observe
from audit.models.passes import attending
from audit.observations import AttentionObservation, Batch, ResidualObservation
from audit.results.subject import LayerCoverage
from tests.architectures import Task, tiny_model


class Kept:
    """A receiver that keeps every observation, by layer."""

    def __init__(self) -> None:
        self.attention: dict[int, AttentionObservation] = {}
        self.residual: dict[int, ResidualObservation] = {}

    def on_attention(self, observation: AttentionObservation) -> None:
        self.attention[observation.layer] = observation

    def on_residual(self, observation: ResidualObservation) -> None:
        self.residual[observation.layer] = observation


class Watched:
    """A tiny random model and all that is seen of it in one pass."""

    def __init__(
        self, model_type: str, task: Task | None = None, *, length: int = 13, **changed: Any
    ) -> None:
        self.model = tiny_model(model_type, task)
        for name, value in changed.items():
            setattr(self.model.config, name, value)
        self.batch = random_batch(self.model, length=length)
        self.layers, self.kept, self.passed = watch(self.model, self.batch)

    @property
    def attention(self) -> list[AttentionObservation]:
        return [self.kept.attention[index] for index in sorted(self.kept.attention)]

    @property
    def residual(self) -> list[ResidualObservation]:
        return [self.kept.residual[index] for index in sorted(self.kept.residual)]


@cache
def watched_once(model_type: str, task: Task) -> Watched:
    """A model that several tests look at and none changes."""
    return Watched(model_type, task)


def frozen(model_type: str, task: Task) -> PreTrainedModel:
    """A tiny random model whose parameters have no gradients, as a loaded checkpoint's have none."""
    return tiny_model(model_type, task).requires_grad_(requires_grad=False)


def watch(model: PreTrainedModel, batch: Batch) -> tuple[tuple[LayerCoverage, ...], Kept, Pass]:
    """What is seen of `model` in one pass of `batch`."""
    layers, kept = survey(model), Kept()
    return layers, kept, observe(model, batch, kept, layers=layers, every_logit=True)


def plain(model: PreTrainedModel, batch: Batch, *, implementation: str = "eager", **asked: Any) -> Any:
    """The output of a pass that nobody watches."""
    with torch.no_grad(), attending(model, implementation):
        return model(**model_inputs(model, batch, every_logit=True).inputs, **asked)


def result(output: Any) -> Tensor:
    """Logits, or hidden states where there are none."""
    found: Tensor = output["logits"] if "logits" in output else output["last_hidden_state"]
    return found


def random_batch(model: PreTrainedModel, *, length: int = 13, padded: tuple[int, int] = (3, 2)) -> Batch:
    """Two rows of random tokens, the first padded on the right and the second on the left."""
    ids = ordinary_ids(model)
    picked = torch.randint(len(ids), (2, length), generator=torch.Generator().manual_seed(1))
    tokens = torch.ones(2, length, dtype=torch.bool)
    tokens[0, length - padded[0] :] = tokens[1, : padded[1]] = False
    return batch_of(ids[picked], tokens)


def batch_of(ids: Tensor, tokens: Tensor) -> Batch:
    """A batch without special tokens."""
    rows = len(ids)
    return Batch(ids, tokens, torch.zeros_like(tokens), tuple(range(rows)), tuple(map(str, range(rows))))


def real_rows(values: Tensor, observation: AttentionObservation) -> Tensor:
    """[batch, head, query, ...] with the rows of padding set to 0."""
    rows = observation.queries[:, None, :, None].expand_as(values)
    return torch.where(rows, values, 0.0)
