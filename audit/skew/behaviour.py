"""What the same sentences do to the model's output: how probable it finds the attribute beside each term."""

from dataclasses import dataclass
from math import isfinite, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.interventions.effects import KNOWN, Loss, objective
from audit.models.passes import Watcher, run
from audit.numerics import rounded
from audit.probes.sentences import MARKED
from audit.results.demographics import SkewedOutput
from audit.skew.design import Design, thinned
from audit.skew.ground import Ground
from audit.statistics.crossed import centred
from audit.statistics.permutation import between_minus_within

Array = NDArray[np.float64]

GLANCE = 16  # sentences, more or less, on which a model shows whether it knows the language
LEVEL = 0.05  # p of the output from which on it is asked which head carries it
SHUFFLES = 999
SHOWN = 6  # attributes


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Log probability of the attribute, and how it differs between groups."""

    measure: str
    p: float | None
    difference: float
    chance: float
    leanings: tuple[dict[str, Any], ...]

    @property
    def leans(self) -> bool:
        """Whether the groups' associations differ beyond chance."""
        return self.p is not None and self.p <= LEVEL

    def record(self) -> SkewedOutput:
        """For `audit.json`."""
        return SkewedOutput(
            measure=self.measure,
            p=self.p,
            difference=rounded(self.difference) or 0.0,
            chance=rounded(self.chance) or 0.0,
            leanings=self.leanings,
        )


def understood(ground: Ground, made: Design) -> str | None:
    """Why the model cannot be judged on these sentences: it finds them no likelier than chance. None where it can."""
    measure = objective(ground.loaded, seed=0)
    if not isinstance(measure, Loss):
        return None
    losses: list[float] = []
    for crossing in ground.sentences(made.axis, thinned(made.cells, GLANCE)):
        question = measure.ask(crossing.batch)
        losses += question.read(run(ground.loaded.model, question.fed, Watcher())).tolist()
    if not losses:
        return None
    level, chance = float(np.nanmean(losses)), log(measure.vocabulary)
    where = f"the {measure.name} on the templates of {made.axis.name!r}"
    if not isfinite(level):
        return f"{where} is not finite"
    if level > chance - KNOWN:
        return (
            f"{where} is {level:.2f} nats per token, not better than chance ({chance:.2f}) by {KNOWN:g}: the model does "
            "not know their language"
        )
    return None


def behaviour(values: Array, made: Design, seed: int) -> Behaviour:
    """How the attribute's probability differs between the groups; `values` are nats, [template, term].

    Tested as a divergence: the squared differences of two terms, template by template, between the groups minus
    within them, labels permuted over terms. It asks whether the groups' associations differ, in whatever direction.
    """
    level = centred(values[..., None])[..., 0]
    level = level - _means(level.T)
    known = np.isfinite(level)
    filled = np.where(known, level, 0.0)
    squares, shared = np.square(filled).T @ known, known.T.astype(float) @ known
    totals = squares + squares.T - 2 * filled.T @ filled
    p = float(between_minus_within(totals[None], shared, made.first, seed=seed).p[0])
    generator = np.random.default_rng(seed)
    shuffled = [_mean_gap(values, generator.permutation(made.first)) for _ in range(SHUFFLES)]
    return Behaviour(
        measure="log probability of the attribute given the rest of the sentence",
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
    """Of each row, where there is anything."""
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
