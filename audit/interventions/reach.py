"""How far back a model uses what it has read: it is given less of the text, or a passage a second time.

Two experiments on the same documents. The last tokens of a window are read with ever more of the text before them:
what the model gains on these texts. And a passage is put a second time into the text, at growing distances, against
another passage in its place: what it could gain, whatever these texts ask for.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from audit.interventions.effects import Loss, objective
from audit.interventions.readings import Array, Fed, Samples
from audit.models.inputs import padded_behind
from audit.models.loading import LoadedModel
from audit.models.passes import Watcher, run
from audit.models.positions import position_table, rotary_base, rotary_frequencies, usable_positions
from audit.numerics import rounded
from audit.observations import Batch
from audit.results.reach import Kept, PositionDecay, Reach, Repeat, Scheme
from audit.statistics.bootstrap import studentised_interval
from audit.theory.distance import (
    depends_on_distance_alone,
    first_negative,
    rotation_likeness,
    table_likeness,
)

LEAST = 128  # tokens of a window that has a near and a far
DOCUMENTS = 16  # as few as an interval needs: each takes a dozen passes
SHORTEST, GROWTH = 4, 4  # of the contexts: 4, 16, 64, ...
PASSAGES = 16  # to a window
AT_ONCE = 1024  # tokens of a pass


class Text(NamedTuple):
    """A window: what the tokenizer puts before it, and its own tokens."""

    document: str
    before: Tensor  # int64 [token]
    own: Tensor  # int64 [token]
    special: Tensor  # bool [token], of the own ones


class _Rows(NamedTuple):
    """Texts of one length of which the last tokens are judged."""

    ids: Tensor  # int64 [text, token]
    special: Tensor  # bool [text, token]
    judged: int


def reach(loaded: LoadedModel, fed: Fed | None, *, seed: int) -> Reach:
    """What context is worth to this model at growing lengths on the texts of `fed`, or why that is not measured.

    Nothing longer than the windows of `fed` is fed, so that no position is asked for that the model has not. Raises
    UnusableInput, MachineFault as any pass does.
    """
    decay = position_decay(loaded.model)
    if loaded.task != "causal":
        return Reach(decay=decay, absent="the model does not predict the next token from the text before it")
    if fed is None:
        return Reach(decay=decay, absent="no text was fed")
    texts = _texts(fed)
    known = Reach(decay=decay, probe=fed.name, window=len(texts[0].own) if texts else 0)
    if known.window < LEAST:
        return replace(
            known, absent=f"windows of {known.window} tokens have no far context: {LEAST} are the least"
        )
    measure = objective(loaded, seed=seed)
    if not isinstance(measure, Loss):
        return replace(known, absent=str(measure))
    return _measured(loaded.model, measure, texts, known, seed=seed)


def _measured(model: Any, measure: Loss, texts: Sequence[Text], known: Reach, *, seed: int) -> Reach:
    passage = max(16, known.window // PASSAGES)
    contexts, distances = (grid(first, known.window - passage) for first in (SHORTEST, passage))
    losses = np.stack([_read(model, measure, _cut(texts, each, passage)) for each in contexts], axis=1)
    names = tuple(text.document for text in texts)
    samples = Samples(losses[:, -1], names, ("",) * len(names))
    known = replace(known, passage=passage, measure=measure.name, unit=measure.unit)
    if (why := measure.unusable(samples)) is not None:
        return replace(known, absent=why)
    gains = [
        _read(model, measure, _repeated(texts, each, passage, others=True))
        - _read(model, measure, _repeated(texts, each, passage, others=False))
        for each in distances
    ]
    return replace(
        known,
        margin=rounded(measure.margin(samples)),
        kept=tuple(
            Kept(tokens=tokens, loss=rounded(float(level)), effect=value, low=low, high=high, n=n)
            for tokens, level, (value, low, high, n) in zip(
                contexts, losses.mean(0), _intervals(losses - losses[:, -1:], seed), strict=True
            )
        ),
        repeats=tuple(
            Repeat(distance=distance, gain=value, low=low, high=high, n=n)
            for distance, (value, low, high, n) in zip(
                distances, _intervals(np.stack(gains, axis=1), seed), strict=True
            )
        ),
    )


def _texts(fed: Fed) -> list[Text]:
    """The first window of each of the first documents, of those with windows as long as the longest."""
    found: dict[str, Text] = {}
    for batch in map(padded_behind, fed.batches):
        for row, document in enumerate(batch.documents):
            whole, special = (
                each[row, : int(batch.tokens[row].sum())] for each in (batch.input_ids, batch.special)
            )
            places = (~special).nonzero().flatten()
            if document not in found and len(places):
                own = slice(int(places[0]), int(places[-1]) + 1)
                found[document] = Text(document, whole[: own.start], whole[own], special[own])
    longest = max((len(text.own) for text in found.values()), default=0)
    return [text for text in found.values() if len(text.own) == longest][:DOCUMENTS]


def passes_over(window: int, documents: int) -> tuple[int, int]:
    """Passes and tokens of the experiments on so many documents with windows of so many tokens; none where too short."""
    if window < LEAST:
        return 0, 0
    passage = max(16, window // PASSAGES)
    contexts, distances = (grid(first, window - passage) for first in (SHORTEST, passage))
    lengths = [each + passage for each in (*contexts, *distances, *distances)]
    passes = sum(math.ceil(documents / max(1, AT_ONCE // length)) for length in lengths)
    return passes, documents * sum(lengths)


def grid(first: int, last: int) -> list[int]:
    """`first`, four times as much, and so on, and `last`; what comes close to it is left out."""
    steps = [first * GROWTH**power for power in range(20)]
    return [step for step in steps if step * 1.5 <= last] + [last]


def _cut(texts: Sequence[Text], context: int, judged: int) -> _Rows:
    """The last tokens of each window with only so many before them."""
    return _rows([(text, text.own[-context - judged :], text.special[-judged:]) for text in texts], judged)


def _repeated(texts: Sequence[Text], distance: int, passage: int, *, others: bool) -> _Rows:
    """The last passage of each window, `distance` tokens behind itself, or behind that of another document."""
    rows = []
    for place, text in enumerate(texts):
        first = texts[(place + 1) % len(texts)] if others else text
        between = text.own[len(text.own) - distance : len(text.own) - passage]
        rows.append(
            (text, torch.cat([first.own[-passage:], between, text.own[-passage:]]), text.special[-passage:])
        )
    return _rows(rows, passage)


def _rows(parts: Sequence[tuple[Text, Tensor, Tensor]], judged: int) -> _Rows:
    ids = torch.stack([torch.cat([text.before, own]) for text, own, _ in parts])
    special = torch.ones_like(ids, dtype=torch.bool)  # what is special is not predicted
    special[:, -judged:] = torch.stack([last for _, _, last in parts])
    return _Rows(ids, special, judged)


def _read(model: Any, measure: Loss, rows: _Rows) -> Array:
    """Mean loss of the judged tokens of each text, float64 [text]."""
    found = []
    for batch in _batches(rows):
        question = measure.ask(batch)
        found.append(question.read(run(model, question.fed, Watcher())))
    return np.concatenate(found)


def _batches(rows: _Rows) -> Iterator[Batch]:
    size = max(1, AT_ONCE // rows.ids.shape[1])
    for start in range(0, len(rows.ids), size):
        part = slice(start, start + size)
        numbers = tuple(range(start, min(start + size, len(rows.ids))))
        yield Batch(
            input_ids=rows.ids[part],
            tokens=torch.ones_like(rows.special[part]),
            special=rows.special[part],
            samples=numbers,
            documents=tuple(map(str, numbers)),
        )


def _intervals(values: Array, seed: int) -> list[tuple[float | None, float | None, float | None, int]]:
    """Mean over documents of each column with its interval, and the documents."""
    found = studentised_interval(values, seed=seed)
    return [
        (*(rounded(float(each[place])) for each in found[:3]), int(found.n[place]))  # type: ignore[misc]
        for place in range(values.shape[1])
    ]


def position_decay(model: Any) -> PositionDecay:
    """How alike positions are by distance alone, read from the model's table of positions or its rotations."""
    limit = usable_positions(model)
    table, turning = position_table(model), rotary_frequencies(model)
    if table is not None:
        scheme: Scheme = "sinusoidal table" if depends_on_distance_alone(table) else "learned table"
        distances = grid(1, len(table) - 1)
        return PositionDecay(
            scheme=scheme,
            positions=limit,
            base=None,
            alike=_pairs(distances, table_likeness(table, distances)),
        )
    if turning is not None and limit:
        distances = grid(1, limit - 1)
        return PositionDecay(
            scheme="rotary",
            positions=limit,
            base=rotary_base(model),
            alike=_pairs(distances, rotation_likeness(turning, distances)),
            turns=first_negative(turning, limit),
        )
    return PositionDecay(scheme="other", positions=limit, base=None)


def _pairs(distances: Sequence[int], likeness: Sequence[float]) -> tuple[tuple[int, float], ...]:
    return tuple((k, float(f"{value:.4g}")) for k, value in zip(distances, likeness, strict=True))
