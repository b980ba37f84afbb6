"""Tries cuts on a model over many texts, at the least cost, and keeps what is read sample by sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
from torch import nn
from transformers.pytorch_utils import Conv1D

from audit.errors import UnusableInput
from audit.interventions.ablation import Cut, Means, impossible
from audit.interventions.prefix import Clean, Inseparable, Route, clean_pass, resumed
from audit.interventions.readings import Array, Fed, Objective, Question, Samples, fingerprint
from audit.observations import Batch
from audit.results.subject import LayerCoverage
from audit.sharing import Step, made

GLANCE = 16  # tokens of one sample: enough to learn the way through a model


@dataclass(frozen=True, slots=True)
class Bench:
    """A model and how it is tried."""

    model: Any
    layers: Sequence[LayerCoverage]
    objective: Objective
    means: Means


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a pass, where it may be entered, and what its parts cost."""

    route: Route
    layers: Sequence[LayerCoverage]
    averaged: frozenset[int]  # layers whose mean head outputs are known
    exact: bool  # whether a pass that begins at a later block gives the same to the last bit
    shares: tuple[
        float, ...
    ]  # of each block run in the cost of a plain pass, taken from its number of weights

    def refusal(self, cut: Cut) -> str | None:
        """Why `cut` cannot be made, as far as is known without making it."""
        for ablation in cut:
            if (why := impossible(ablation, self.layers)) is not None:
                return why
            if ablation.target == "block" and self.route.run_of(ablation.layer) is None:
                return f"layer {ablation.layer} stands in no block"
            if ablation.replacement == "mean" and ablation.layer not in self.averaged:
                return f"the mean head outputs of layer {ablation.layer} are not known"
        return None

    def start(self, cut: Cut) -> int:
        """The block run that a pass with `cut` begins with."""
        return self.route.start(cut) if self.exact else 0

    def kept(self, cut: Cut) -> int:
        """How many of the first block runs must be kept for it."""
        return max([self.start(cut), *(run + 1 for run in self.route.skipped(cut))])

    def cost(self, cut: Cut) -> float:
        """Of a pass with `cut`, in plain passes."""
        saved = set(range(self.start(cut))) | self.route.skipped(cut)
        return 1.0 - sum(self.shares[run] for run in saved)


class Tried(NamedTuple):
    """What was read, unchanged and with each cut, or why a cut could not be made."""

    samples: Samples
    changed: dict[Cut, Array]
    refused: dict[Cut, str]
    passes: float  # what it cost, in plain forward passes over the same texts


def way_through(bench: Bench, batch: Batch) -> Way:
    """The way of a pass, learnt from a few tokens of `batch`.

    An architecture that carries more from block to block than its blocks return is found out here: what passes give
    that begin at an early, a middle and the last layer is compared with what the whole pass gave.
    """
    question = bench.objective.ask(batch.only(0, GLANCE))
    clean = clean_pass(bench.model, question.fed, layers=bench.layers, keep=None)
    exact = _is_exact(bench, question, clean)
    return Way(clean.route, bench.layers, frozenset(bench.means), exact, _shares(bench.model, clean.route))


def tried(bench: Bench, way: Way, feeds: Sequence[Fed], cuts: Sequence[Cut]) -> Tried:
    """What is read of each sample of `feeds`, of the unchanged model and with each cut.

    One clean pass per batch, of which what the first blocks return is held in memory, and one pass per cut that begins
    at the first block it changes. Processes that share the audit share the batches.
    """
    refused = {cut: why for cut in cuts if (why := way.refusal(cut)) is not None}
    batches = [batch for fed in feeds for batch in fed.batches]
    clean: list[Array] = []
    changed: dict[Cut, list[Array]] = {cut: [] for cut in cuts if cut not in refused}
    for some in (batches[:1], batches[1:]):  # what the first batch refuses is not tried on the others
        for read in made(_Read, [_step(bench, way, batch, tuple(changed)) for batch in some]):
            clean.append(read.clean)
            for cut, found, why in zip(tuple(changed), read.changed, read.refused, strict=True):
                if why is not None:
                    refused.setdefault(cut, why)
                if found is not None:
                    changed[cut].append(found)
        changed = {cut: parts for cut, parts in changed.items() if cut not in refused}
    return Tried(
        _samples(clean, feeds),
        {cut: np.concatenate(parts) for cut, parts in changed.items()},
        refused,
        1.0 + sum(way.cost(cut) for cut in changed),
    )


class _Read(NamedTuple):
    """What was read of each sample of a batch: unchanged, and with each cut, or why that could not be made."""

    clean: Array
    changed: list[Array | None]
    refused: list[str | None]


def _step(bench: Bench, way: Way, batch: Batch, cuts: Sequence[Cut]) -> Step[_Read]:
    about = ["tried", bench.objective.name, msgspec.to_builtins(cuts), fingerprint([batch])]
    return Step(about, partial(_read, bench, way, batch, cuts))


def _read(bench: Bench, way: Way, batch: Batch, cuts: Sequence[Cut]) -> _Read:
    question = bench.objective.ask(batch)
    keep = max((way.kept(cut) for cut in cuts), default=0)
    first = clean_pass(bench.model, question.fed, layers=bench.layers, keep=keep)
    read = _Read(question.read(first.output), [], [])
    first = first._replace(output=None)  # all logits: larger than anything else here
    for cut in cuts:
        try:
            found = resumed(bench.model, question.fed, first, cut, start=way.start(cut), means=bench.means)
        except (Inseparable, UnusableInput) as error:
            read.changed.append(None)
            read.refused.append(str(error))
        else:
            read.changed.append(question.read(found))
            read.refused.append(None)
            del found  # the next pass makes logits of its own
    return read


def _is_exact(bench: Bench, question: Question, clean: Clean) -> bool:
    runs = sorted({run for layer in bench.layers if (run := clean.route.run_of(layer.index)) is not None})
    expected = question.read(clean.output)
    for start in {runs[min(1, len(runs) - 1)], runs[len(runs) // 2], runs[-1]} if runs else ():
        try:
            again = resumed(bench.model, question.fed, clean, (), start=start, means=bench.means)
        except UnusableInput:  # a block missed what another would have left for it
            return False
        if not np.array_equal(question.read(again), expected, equal_nan=True):
            return False
    return True


def _samples(clean: Sequence[Array], feeds: Sequence[Fed]) -> Samples:
    names = [(fed.name, document) for fed in feeds for batch in fed.batches for document in batch.documents]
    return Samples(
        np.concatenate(clean),
        documents=tuple(f"{probe}/{document}" for probe, document in names),
        probes=tuple(probe for probe, _ in names),
    )


def _shares(model: Any, route: Route) -> tuple[float, ...]:
    """Share of each block run in the weights that a pass multiplies with; looking up embeddings costs nothing."""
    blocks = {name: model.get_submodule(name) for name in route.blocks}
    sizes = {name: sum(p.numel() for p in block.parameters()) for name, block in blocks.items()}
    inside = {id(module) for block in blocks.values() for module in block.modules()}
    outside = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) not in inside
    }
    total = sum(sizes[name] for name in route.blocks) + sum(outside.values())
    return tuple(sizes[name] / total for name in route.blocks)
