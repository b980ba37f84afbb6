"""What the same sentences do to the model's output: how probable it finds the attribute beside each term."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, log
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.interventions.effects import Loss, objective
from audit.models.loading import LoadedModel
from audit.models.observing import Editor, observe
from audit.models.passes import Watcher, run
from audit.numerics import rounded
from audit.observations import AttentionObservation, Batch, ResidualObservation
from audit.probes.sentences import MARKED, Crossing
from audit.results.demographics import SkewedOutput
from audit.results.subject import LayerCoverage
from audit.skew.design import Design, placed
from audit.statistics.crossed import centred
from audit.statistics.permutation import between_minus_within

Array = NDArray[np.float64]

GLANCES = 1  # batches of sentences on which a model shows whether it knows the language
SHUFFLES = 999
SHOWN = 6  # attributes


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Log probability of the attribute, and how it differs between groups."""

    measure: str
    values: Array  # nats, [template, term]; NaN where a template does not define it
    p: float | None
    difference: float
    chance: float
    leanings: tuple[dict[str, Any], ...]
    equalised: float | None = None

    def record(self) -> SkewedOutput:
        """For `audit.json`."""
        return SkewedOutput(
            measure=self.measure,
            p=self.p,
            difference=rounded(self.difference) or 0.0,
            chance=rounded(self.chance) or 0.0,
            leanings=self.leanings,
            equalised=self.equalised,
        )


class Blind:
    """A receiver that keeps nothing."""

    def on_attention(self, observation: AttentionObservation) -> None:
        """Passed over."""

    def on_residual(self, observation: ResidualObservation) -> None:
        """Passed over."""


class Asked(NamedTuple):
    """What is fed to learn the attribute's probability, and where it is read."""

    batch: Batch
    rows: Tensor  # int64 [place]: which sentence
    places: Tensor  # int64 [place]: position whose logits predict ...
    targets: Tensor  # int64 [place]: ... this id


def understood(loaded: LoadedModel, made: Design, sentences: Sequence[Crossing]) -> str | None:
    """Why the model cannot be judged on these sentences: it finds them no likelier than chance. None where it can."""
    measure = objective(loaded, seed=0)
    if not isinstance(measure, Loss) or not sentences:
        return None
    losses = []
    for crossing in sentences[:GLANCES]:
        question = measure.ask(crossing.batch)
        losses += question.read(run(loaded.model, question.fed, Watcher())).tolist()
    level, chance = float(np.nanmean(losses)), log(measure.vocabulary)
    if not isfinite(level) or level >= chance:
        return (
            f"the {measure.name} on the templates of {made.axis.name!r} is {level:.2f} nats per token, no better than "
            f"chance ({chance:.2f}): the model does not know their language"
        )
    return None


def asked(loaded: LoadedModel, crossing: Crossing) -> Asked | None:
    """How to ask `loaded` for the attribute of these sentences; None where it cannot be asked.

    A causal model is asked for an attribute behind the term, a masked one for any, with all its pieces masked at once.
    """
    batch = crossing.batch
    pieces = (crossing.words == crossing.attribute[:, None]) & (crossing.attribute >= 0)[:, None]
    if loaded.task == "causal":
        pieces &= (crossing.attribute > crossing.term)[:, None]
        rows, places = pieces[:, 1:].nonzero(as_tuple=True)
        return Asked(batch, rows, places, batch.input_ids[rows, places + 1]) if len(rows) else None
    mask = getattr(loaded.tokenizer, "mask_token_id", None)
    rows, places = pieces.nonzero(as_tuple=True)
    if loaded.task != "masked" or mask is None or not len(rows):
        return None
    hidden = replace(batch, input_ids=batch.input_ids.masked_fill(pieces, mask))
    return Asked(hidden, rows, places, batch.input_ids[rows, places])


def log_probabilities(
    loaded: LoadedModel, question: Asked, *, layers: Sequence[LayerCoverage], edit: Editor = lambda _: None
) -> Array:
    """Log probability of the attribute in each sentence, nats, [batch]; NaN where it is not asked for.

    `edit` may change what an attention does.
    """
    output = observe(loaded.model, question.batch, Blind(), layers=layers, edit=edit, every_logit=True).output
    logits = output.logits[question.rows, question.places].double()
    found = logits.log_softmax(-1).gather(-1, question.targets.to(logits.device)[:, None])[:, 0]
    total = torch.zeros(len(question.batch.samples), dtype=torch.float64)
    count = torch.bincount(question.rows, minlength=len(total))
    summed = total.index_add(0, question.rows, found.cpu())
    return np.asarray(torch.where(count > 0, summed, torch.nan).numpy())


def behaviour(
    loaded: LoadedModel,
    made: Design,
    sentences: Sequence[Crossing],
    *,
    layers: Sequence[LayerCoverage],
    seed: int,
) -> Behaviour | str:
    """How the attribute's probability differs between the groups, or why it is not known.

    Tested as a divergence: the squared differences of two terms, template by template, between the groups minus
    within them, labels permuted over terms. It asks whether the groups' associations differ, in whatever direction.
    """
    if loaded.task not in ("causal", "masked"):
        return f"a model of the kind {loaded.task!r} does not predict words of a sentence"
    values = np.full((len(made.templates), len(made.chosen)), np.nan)
    for crossing in sentences:
        if (question := asked(loaded, crossing)) is not None:
            values[placed(crossing, made)] = log_probabilities(loaded, question, layers=layers)
    if not np.isfinite(values).any():
        return "no template asks for an attribute behind the term"
    return _compared(values, made, seed)


def _compared(values: Array, made: Design, seed: int) -> Behaviour:
    level = centred(values[..., None])[..., 0]
    level = level - np.nanmean(level, axis=0, keepdims=True, where=np.isfinite(level))
    known = np.isfinite(level)
    filled = np.where(known, level, 0.0)
    squares, shared = np.square(filled).T @ known, known.T.astype(float) @ known
    totals = squares + squares.T - 2 * filled.T @ filled
    np.fill_diagonal(shared, 0.0)
    p = float(between_minus_within(totals[None], shared, made.first, seed=seed).p[0])
    generator = np.random.default_rng(seed)
    shuffled = [_mean_gap(values, generator.permutation(made.first)) for _ in range(SHUFFLES)]
    return Behaviour(
        measure="log probability of the attribute given the rest of the sentence",
        values=values,
        p=float(f"{p:.3g}") if isfinite(p) else None,
        difference=_mean_gap(values, made.first),
        chance=float(np.nanmean(shuffled)),
        leanings=_leanings(values, made),
    )


def _gaps(values: Array, first: NDArray[np.bool_]) -> Array:
    """First group minus second, [template]; NaN where a group did not stand in it."""
    one, two = (_means(values[:, group]) for group in (first, ~first))
    return np.asarray(one - two)


def _means(values: Array) -> Array:
    known = np.isfinite(values)
    count = known.sum(1)
    total: Array = np.where(known, values, 0.0).sum(1)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))


def _mean_gap(values: Array, first: NDArray[np.bool_]) -> float:
    gaps = np.abs(_gaps(values, first))
    return float(gaps[np.isfinite(gaps)].mean()) if np.isfinite(gaps).any() else float("nan")


def _attribute(made: Design, template: int) -> str:
    """The word itself for built-in templates, else the number of the template: a user's words are not repeated."""
    marked = MARKED.search(made.axis.templates[template])
    return marked[1] if marked and made.axis.rows is None else f"template {template}"


def _leanings(values: Array, made: Design) -> tuple[dict[str, Any], ...]:
    """The attributes whose probability differs most."""
    gaps = _gaps(values, made.first)
    order = sorted((row for row in range(len(gaps)) if isfinite(gaps[row])), key=lambda row: -abs(gaps[row]))
    return tuple(
        {
            "attribute": _attribute(made, made.templates[row]),
            "toward": made.axis.groups[0 if gaps[row] > 0 else 1],
            "nats": rounded(abs(gaps[row]), 3),
        }
        for row in order[:SHOWN]
    )
