"""What each sublayer adds to the residual stream, and what a pass reads with it scaled.

What a sublayer adds is scaled as it is added, which is what scaling its residual projection would do.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from audit.interventions.effects import Loss
from audit.interventions.readings import Array, Fed, Samples, fingerprint
from audit.models.inputs import Fed as Inputs
from audit.models.matrices import followed
from audit.models.passes import Watcher, run
from audit.models.residual import hidden_states
from audit.models.tracing import Addition
from audit.numerics import mean_pairwise_cosine
from audit.observations import Batch
from audit.sharing import Step, made

Sublayer = Literal["attention", "mlp"]


class Branch(NamedTuple):
    """What is added in one block run."""

    block: int
    sublayer: Sublayer


Scaling = Mapping[Branch, float]  # branches not named add what they add


class Readings(NamedTuple):
    """What was read of a model with its branches scaled."""

    samples: Samples
    alike: Array  # [sample]
    sizes: dict[Branch, float]  # mean norm of what each branch added


class _Scaled(Watcher):
    """Scales what is added to the stream; keeps how large it was, and the streams between blocks."""

    def __init__(self, fed: Inputs, scaling: Scaling) -> None:
        self.streams: list[Tensor] = []
        self.sizes: dict[Branch, float] = {}
        self._fed, self._scaling, self._block = fed, scaling, -1

    def entered(self, _block: str) -> None:
        """The next block run."""
        self._block += 1

    def added(self, addition: Addition) -> Tensor | None:
        """The stream with its branches scaled, or None where nothing is to be changed."""
        mine: Sublayer = "mlp" if addition.attention is None else "attention"
        total, touched = addition.stream, False
        for sublayer, update in ((mine, addition.update), ("mlp", addition.beside)):
            if update is not None:
                branch = Branch(self._block, sublayer)  # type: ignore[arg-type]  # a literal in a tuple
                factor = self._scaling.get(branch, 1.0)
                touched |= factor != 1.0
                total = total + factor * update
                if update.requires_grad:  # autograd saw a plain sum
                    update.register_hook(partial(torch.mul, factor))  # type: ignore[no-untyped-call]
                self.sizes[branch] = float(update.detach().float().norm(dim=-1).mean())
        return total if touched else None

    def left(self, _block: str, output: Any, _additions: object) -> None:
        """The stream that leaves a block."""
        found = hidden_states(output, tuple(self._fed.decoder.tokens.shape))
        if found is not None:
            self.streams.append(found)


def read(model: Any, measure: Loss, feeds: Sequence[Fed], scalings: Sequence[Scaling]) -> list[Readings]:
    """Loss and token cosine of each sample with the branches scaled in each of these ways."""
    about = ["scaled", fingerprint([batch for fed in feeds for batch in fed.batches])]
    steps = [
        Step([*about, _plain(scaling)], partial(_read, model, measure, feeds, scaling))
        for scaling in scalings
    ]
    return made(Readings, steps)


def _read(model: Any, measure: Loss, feeds: Sequence[Fed], scaling: Scaling) -> Readings:
    losses, alike, sizes = [], [], dict[Branch, list[float]]()
    for batch in (batch for fed in feeds for batch in fed.batches):
        question = measure.ask(batch)
        watcher = _Scaled(question.fed, scaling)
        losses.append(question.read(run(model, question.fed, watcher)))
        alike.append(_cosines(watcher, question.fed))
        for branch, size in watcher.sizes.items():
            sizes.setdefault(branch, []).append(size)
    named = [(fed.name, document) for fed in feeds for batch in fed.batches for document in batch.documents]
    samples = Samples(
        np.concatenate(losses),
        documents=tuple(f"{probe}/{document}" for probe, document in named),
        probes=tuple(probe for probe, _ in named),
    )
    return Readings(samples, np.concatenate(alike), {b: float(np.mean(s)) for b, s in sizes.items()})


def _cosines(watcher: _Scaled, fed: Inputs) -> Array:
    tokens = fed.decoder.tokens
    if not watcher.streams:
        return np.full(len(tokens), np.nan)
    found = mean_pairwise_cosine(watcher.streams[-1], tokens.to(watcher.streams[-1].device))
    return found.cpu().numpy()


def gradient_ratios(model: Any, measure: Loss, samples: Sequence[Batch], scaling: Scaling) -> Array:
    """log10 of ||h|| ||dL/dh|| summed over tokens, leaving the first block over leaving the last; NaN: none.

    float64 [sample], of batches of one sample each.
    """
    about = ["gradient", _plain(scaling)]
    steps = [
        Step([*about, fingerprint([sample])], partial(_gradient_ratio, model, measure, sample, scaling))
        for sample in samples
    ]
    return np.array(made(float, steps), dtype=np.float64)


def _plain(scaling: Scaling) -> list[list[object]]:
    return sorted([*branch, repr(factor)] for branch, factor in scaling.items())  # factors may be NaN


def _gradient_ratio(model: Any, measure: Loss, sample: Batch, scaling: Scaling) -> float:
    asked = measure.differentiable(sample)
    if asked is None:
        return math.nan
    watcher = _Scaled(asked[0], scaling)
    embeddings = [p for p in model.parameters() if p.is_floating_point()][:1]  # all else follows from them
    with torch.enable_grad(), followed(embeddings):
        loss = asked[1](run(model, asked[0], watcher, differentiable=True))
        if len(watcher.streams) < 2 or not watcher.streams[0].requires_grad:
            return math.nan
        ends = [watcher.streams[0], watcher.streams[-1]]
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(loss, ends, allow_unused=True)
    felt = [
        0.0 if g is None else float((h.detach().double().norm(dim=-1) * g.double().norm(dim=-1)).sum())
        for h, g in zip(ends, gradients, strict=True)
    ]
    return math.log10(felt[0] / felt[1]) if min(felt) > 0 and all(map(math.isfinite, felt)) else math.nan
