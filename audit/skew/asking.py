"""Asks a model how probable it finds the attribute of each sentence, unchanged and with heads that attend otherwise."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.definitions import SLOT
from audit.interventions.effects import AT_ONCE, Loss, objective
from audit.interventions.prefix import Clean, clean_pass, rerun
from audit.interventions.trials import Bench, way_through
from audit.models.inputs import Fed, model_inputs
from audit.models.loading import LoadedModel
from audit.models.observing import Editor
from audit.probes.sentences import MARKED, Crossing
from audit.skew.design import Design, placed, thinned
from audit.skew.ground import Ground

ENOUGH = 1_000  # sentences of an axis: what is kept of each for trying changes is bounded by it

Array = NDArray[np.float64]
Editing = Callable[[Crossing], Editor]  # what attention does in these sentences instead


class Answers(NamedTuple):
    """Nats, [template, term]; NaN where a model is not asked."""

    attribute: Array  # log probability of the attribute
    loss: Array  # per token: of the next one, or of the masked attribute


class _Wanted(NamedTuple):
    fed: Fed
    rows: Tensor  # int64 [place]: which sentence
    places: Tensor  # int64 [place]: position whose logits predict ...
    targets: Tensor  # int64 [place]: ... this id


class _Question(NamedTuple):
    crossing: Crossing
    wanted: _Wanted
    clean: Clean  # without its output


class Interview:
    """All sentences of an axis in which the model can be asked, and what it answers to them."""

    def __init__(self, ground: Ground, made: Design, *, edited: Sequence[int], look: Editing) -> None:
        """Ask the unchanged model; `look` sees every layer.

        Args:
            ground: the model.
            made: the axis.
            edited: the first layer of each change that will be tried: what comes before it is kept and not run again.
            look: called for each batch of sentences; what it returns sees the attention and changes nothing.
        """
        self._loaded, self._layers = ground.loaded, ground.layers
        self._made = made
        self._measure = objective(ground.loaded, seed=ground.plan.seed)
        self._starts: dict[int, int] = {}  # by layer
        self._questions: list[_Question] = []
        self.unchanged = _blank(made)
        self._aligned = np.zeros(self.unchanged.loss.shape, np.bool_)  # has a counterpart, token by token
        for crossing in ground.sentences(made.axis, askable(ground.loaded, made)):
            if (wanted := _wanted(ground.loaded, crossing)) is not None:
                self._learn_the_way(crossing, edited)
                self._ask(crossing, wanted, look(crossing))

    @property
    def effect(self) -> Array:
        """What putting the counterpart changes in the attribute's log probability, [template, term]."""
        change = self.unchanged.attribute[:, partners(self._made)] - self.unchanged.attribute
        return np.asarray(np.where(self._aligned, change, np.nan))

    def changed(self, editing: Editing, *, layer: int) -> Answers:
        """The answers when attention from `layer` on does what `editing` says."""
        found, start = _blank(self._made), self._starts.get(layer, 0)
        for each in self._questions:
            output = rerun(
                self._loaded.model, each.wanted.fed, each.clean, editing(each.crossing), start=start
            )
            self._note(found, each, output)
        return found

    def _learn_the_way(self, crossing: Crossing, edited: Sequence[int]) -> None:
        if self._starts or not edited or not isinstance(self._measure, Loss):
            return
        way = way_through(Bench(self._loaded.model, self._layers, self._measure, {}), crossing.batch)
        self._starts = {layer: (way.route.run_of(layer) or 0) if way.exact else 0 for layer in edited}

    def _ask(self, crossing: Crossing, wanted: _Wanted, look: Editor) -> None:
        starts = sorted(set(self._starts.values()))
        clean = clean_pass(
            self._loaded.model, wanted.fed, layers=self._layers, keep=max(starts, default=0), look=look
        )
        kept = [clean.kept[min(s for s in starts if s > run) - 1] for run in range(len(clean.kept))]
        each = _Question(crossing, wanted, clean._replace(output=None, kept=kept))
        self._note(self.unchanged, each, clean.output)
        self._questions.append(each)
        self._aligned[placed(crossing, self._made)] = _aligned(crossing, self._made)

    def _note(self, into: Answers, each: _Question, output: Any) -> None:
        where, wanted = placed(each.crossing, self._made), each.wanted
        found = _log_probabilities(output.logits, wanted)
        total = torch.zeros(len(each.crossing.terms), dtype=torch.float64)
        count = torch.bincount(wanted.rows, minlength=len(total))
        summed = torch.where(count > 0, total.index_add(0, wanted.rows, found), torch.nan)
        into.attribute[where] = summed.numpy()
        if self._loaded.task == "causal" and isinstance(self._measure, Loss):
            into.loss[where] = self._measure.ask(each.crossing.batch).read(output)
        else:
            into.loss[where] = (-summed / count).numpy()


def _log_probabilities(logits: Tensor, wanted: _Wanted) -> Tensor:
    """Of the ids that are asked for, float64 [place]; few places at once, for each is a row of the vocabulary."""
    found = []
    for part in torch.arange(len(wanted.rows)).split(max(1, AT_ONCE // logits.shape[-1])):  # type: ignore[no-untyped-call]
        rows = logits[wanted.rows[part], wanted.places[part]].double().log_softmax(-1)
        found.append(rows.gather(-1, wanted.targets[part].to(rows.device)[:, None])[:, 0].cpu())
    return torch.cat(found)


def askable(loaded: LoadedModel, made: Design) -> frozenset[tuple[int, int]]:
    """Sentences with an attribute, at most about `ENOUGH`; for a causal model, with one behind the term."""
    found = {template: MARKED.search(made.axis.templates[template]) for template in made.templates}
    behind = {
        template
        for template, marked in found.items()
        if marked and (loaded.task != "causal" or marked.start() > made.axis.templates[template].index(SLOT))
    }
    return thinned([cell for cell in made.cells if cell[0] in behind], ENOUGH)


def partners(made: Design) -> NDArray[np.int64]:
    """The counterpart of each chosen term, [term]; itself where it has none."""
    offset = len(made.axis.terms[0])
    column = {term: at for at, term in enumerate(made.chosen)}
    found = np.arange(len(made.chosen))
    for one, two in made.matched.pairs:
        if one in column and two + offset in column:
            a, b = column[one], column[two + offset]
            found[a], found[b] = b, a
    return found


def pair_of(made: Design) -> NDArray[np.int64]:
    """The number of the pair that each chosen term is of, [term]."""
    return np.minimum(partners(made), np.arange(len(made.chosen)))


def counterparts(crossing: Crossing, made: Design) -> list[int]:
    """Row of the counterpart of each row, with which it lines up token by token; its own where there is none."""
    partner, columns = partners(made), placed(crossing, made)[1].tolist()
    rows = {place: row for row, place in enumerate(zip(crossing.templates, columns, strict=True))}
    found = [rows.get((template, int(partner[column])), row) for (template, column), row in rows.items()]
    alike = [bool((crossing.words[row] == crossing.words[other]).all()) for row, other in enumerate(found)]
    return [other if same else row for row, (other, same) in enumerate(zip(found, alike, strict=True))]


def _aligned(crossing: Crossing, made: Design) -> list[bool]:
    return [row != other for row, other in enumerate(counterparts(crossing, made))]


def _blank(made: Design) -> Answers:
    shape = (len(made.templates), len(made.chosen))
    return Answers(np.full(shape, np.nan), np.full(shape, np.nan))


def _wanted(loaded: LoadedModel, crossing: Crossing) -> _Wanted | None:
    """What to feed, and where the attribute is read; None where it cannot be asked for.

    A causal model is asked for an attribute behind the term, a masked one for any, with all its pieces masked at once.
    """
    batch = crossing.batch
    pieces = (crossing.words == crossing.attribute[:, None]) & (crossing.attribute >= 0)[:, None]
    if loaded.task == "causal":
        pieces &= (crossing.attribute > crossing.term)[:, None]
        rows, places = pieces[:, 1:].nonzero(as_tuple=True)
        fed = model_inputs(loaded.model, batch, every_logit=True)
        return _Wanted(fed, rows, places, batch.input_ids[rows, places + 1]) if len(rows) else None
    mask = getattr(loaded.tokenizer, "mask_token_id", None)
    rows, places = pieces.nonzero(as_tuple=True)
    if loaded.task != "masked" or mask is None or not len(rows):
        return None
    hidden = replace(batch, input_ids=batch.input_ids.masked_fill(pieces, mask))
    fed = model_inputs(loaded.model, hidden, every_logit=True)
    return _Wanted(fed, rows, places, batch.input_ids[rows, places])
