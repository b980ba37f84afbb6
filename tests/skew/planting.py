"""Plants a skew into one head of a real model, and says where the survey lists that head."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from audit.definitions import Axis
from audit.models.coverage import observed, survey
from audit.models.loading import LoadedModel
from audit.probes.matching import match
from audit.probes.sentences import Crossing
from audit.results import Plan
from audit.results.demographics import SkewedHead
from audit.skew.design import SENTENCES, design
from audit.skew.ground import Ground
from audit.skew.heads import listed
from audit.skew.readings import read
from audit.skew.testing import corrected, tested
from tests.faults.wiring import wires

TURNED = 0.1  # radians per token, from which on a rotary embedding would turn what is planted
AIMED = range(0, 60, 20)  # templates to aim by
AXES = 9


def ground_of(loaded: LoadedModel) -> Ground:
    """What the survey stands on at depth standard."""
    layers = survey(loaded.model)
    layers = observed(layers, {layer.index for layer in layers})
    return Ground(loaded=loaded, layers=layers, plan=Plan(), shown=True)


class Aim(NamedTuple):
    """What is to be added to the query weights of one head."""

    weight: Tensor  # [head_dim, width], a view
    change: Tensor  # [head_dim, width]

    @classmethod
    def at(cls, ground: Ground, axis: Axis, *, layer: int, head: int) -> "Aim":
        """Queries led towards the keys of the first group's terms: by a nat over the second's, on average.

        W_Q alone is changed, so that heads which share the keys stay as they are.
        """
        at = wires(ground.loaded.model, layer)
        cells = {(template, term) for template in AIMED for term in range(sum(map(len, axis.terms)))}
        seen = [(each, _read(ground, each, layer)) for each in ground.sentences(axis, cells)]
        one, two = (
            torch.cat([_of_terms(axis, *each, first=first) for each in seen]).mean(0)
            for first in (True, False)
        )
        keys = at.key.weight[head // at.group]
        apart = keys @ (one - two) * _unturned(ground, len(keys))
        usual = torch.cat([inputs[crossing.batch.tokens] for crossing, inputs in seen]).mean(0)
        query = len(keys) ** 0.5 * apart / apart.square().sum()
        return cls(at.query.weight[head], torch.outer(query, usual / usual.square().sum()))

    @contextmanager
    def planted(self, lead: float) -> Iterator[None]:
        """Within, the head leans by `lead` nats."""
        before = self.weight.clone()
        with torch.no_grad():
            self.weight.add_(lead * self.change)
        try:
            yield
        finally:
            self.weight.copy_(before)


def heads_of(ground: Ground, axis: Axis) -> tuple[SkewedHead, ...]:
    """The tests of one axis as the survey lists them at depth standard, without what it costs to say more of them."""
    seed = ground.plan.seed
    made = design(axis, match(axis, ground.loaded.tokenizer), sentences=SENTENCES // AXES, seed=seed)
    readings = read(
        ground.loaded.model, made, ground.sentences(axis, made.cells), layers=ground.layers, seed=seed
    )
    tests = tested(readings, made, seed=seed)
    return listed(tests, corrected([tests]).only(0), ground.layers)


def _read(ground: Ground, crossing: Crossing, layer: int) -> Tensor:
    """What queries, keys and values are projected from, [sentence, token, width]."""
    kept: dict[str, Tensor] = {}
    entrance = wires(ground.loaded.model, layer).entrance
    hook = entrance.register_forward_pre_hook(lambda _, words: kept.update(read=words[0]))
    with torch.no_grad():
        ground.loaded.model(input_ids=crossing.batch.input_ids, attention_mask=crossing.batch.tokens.long())
    hook.remove()
    return kept["read"]


def _of_terms(axis: Axis, crossing: Crossing, read: Tensor, *, first: bool) -> Tensor:
    """The tokens of one group's terms, [token, width]."""
    mine = torch.tensor([(term < len(axis.terms[0])) == first for term in crossing.terms])
    return read[(crossing.words == crossing.term[:, None]) & mine[:, None]]


def _unturned(ground: Ground, width: int) -> Tensor:
    """1 for each coordinate of a head that no rotary embedding turns much, 0 for the others."""
    rotary = getattr(getattr(ground.loaded.model, "model", None), "rotary_emb", None)
    if rotary is None:
        return torch.ones(width)
    return (rotary.inv_freq < TURNED).float().repeat(2)
