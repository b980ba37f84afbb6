"""The sentences about groups of people that an audit will feed, and what else may be asked of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from audit.definitions import Axis, PairProbe
from audit.explaining.stages import Stage, crossings_of
from audit.models.loading import LoadedModel
from audit.probes.matching import match
from audit.probes.sentences import ROWS, Crossing
from audit.results import Plan
from audit.results.subject import LayerCoverage
from audit.skew.asking import askable
from audit.skew.behaviour import GLANCE
from audit.skew.carrying import PATCHED
from audit.skew.design import SENTENCES, Design, design, thinned
from audit.skew.ground import Ground
from audit.skew.heads import UNTRAINED
from audit.skew.remedies import REMEDIES
from audit.skew.survey import fits, inapplicable

SAMPLE = 56  # sentences, more or less, that show how long they are and how fast they are read
TESTS = 1.1  # times the passes: what testing takes beside them
# What is done of what may be done, as audits of BERT-tiny, all-MiniLM-L6-v2 and SmolLM2-135M did on 2026-11-26.
STANDING_OUT = 0.8  # of the axes
# of the axes: the output differs too, so that heads are patched and remedies tried; of all sentences more shows: of
# SmolLM2 on 7 of 8 axes
LEANING = {"standard": 0.1, "full": 0.45}


class _Axis(NamedTuple):
    templates: int
    terms: int
    sentences: int
    asked: int  # of them, where the model predicts words


def people(
    loaded: LoadedModel,
    layers: Sequence[LayerCoverage],
    probe: PairProbe,
    plan: Plan,
    *,
    rate: Callable[[Design, Crossing], float],
) -> list[Stage]:
    """What becomes of `probe`; nothing where it does not apply. `rate` gives seconds per token of reading sentences."""
    if inapplicable(loaded, layers) is not None:
        return []
    axes = probe.axes()
    ground = Ground(loaded=loaded, layers=layers, plan=plan, shown=False)
    budget = None if plan.depth == "full" or fits(axes) else SENTENCES // len(axes)
    designs = [_design(loaded, axis, budget, plan.seed) for axis in axes]
    fed = [made for made in designs if made.cells]
    if not fed:
        return []
    sample = next(ground.sentences(fed[0].axis, thinned(fed[0].cells, SAMPLE)))
    length = sample.batch.input_ids.shape[1]
    seconds = rate(fed[0], sample) * length
    sizes = [_size(loaded, made) for made in fed]
    passes = sum(crossings_of(each.templates, each.terms, rows=ROWS) for each in sizes)
    sentences = sum(each.sentences for each in sizes)
    observing = Stage(
        name=f"observe {probe.name}",
        passes=passes,
        tokens=sentences * length,
        seconds=TESTS * sentences * seconds,
    )
    judged = [size for size, made in zip(sizes, fed, strict=True) if not made.axis.control]
    return [observing, _weighing(loaded, plan, judged, length, seconds)]


def _design(loaded: LoadedModel, axis: Axis, budget: int | None, seed: int) -> Design:
    return design(axis, match(axis, loaded.tokenizer), sentences=budget, seed=seed)


def _size(loaded: LoadedModel, made: Design) -> _Axis:
    asked = len(askable(loaded, made)) if loaded.task in ("causal", "masked") else 0
    return _Axis(len(made.templates), len(made.chosen), len(made.cells), asked)


def _weighing(loaded: LoadedModel, plan: Plan, axes: Sequence[_Axis], length: int, seconds: float) -> Stage:
    """A glance, fresh weights beside, the question what is predicted, and that again with heads changed."""
    predicts = loaded.task in ("causal", "masked")
    glances = [min(each.sentences, max(GLANCE, each.terms)) if predicts else 0 for each in axes]
    beside = [min(each.sentences, max(UNTRAINED, 2 * each.terms)) for each in axes]
    asked = [each.asked for each in axes]
    changes = PATCHED.get(plan.depth, 1) + len(REMEDIES)
    leaning = LEANING.get(plan.depth, LEANING["standard"])
    most = sum(glances) + sum(beside) + (1 + changes) * sum(asked)
    usual = sum(glances) + STANDING_OUT * (sum(beside) + sum(asked)) + leaning * changes * sum(asked)
    passes = sum(
        bool(glance)
        + crossings_of(-(-few // each.terms), each.terms, rows=ROWS)
        + (1 + changes) * crossings_of(-(-each.asked // each.terms), each.terms, rows=ROWS)
        for each, glance, few in zip(axes, glances, beside, strict=True)
    )
    return Stage(
        name="weigh skew", passes=passes, tokens=most * length, seconds=usual * seconds, at_most=True
    )
