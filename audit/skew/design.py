"""Which terms stand in which templates: matched pairs of terms together, within a budget of sentences."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.definitions import Axis
from audit.probes.matching import Matched
from audit.probes.sentences import Crossing

SENTENCES = 2_000  # at depth `standard`, over all axes
PAIRS, TEMPLATES = 14, 24  # of each axis at depth `standard`
MOST_PAIRS, MOST_TEMPLATES = 64, 128  # of an axis at any depth: memory is that of so many
LEAST_TERMS, LEAST_TEMPLATES = 14, 20  # per group, and in all: with fewer an axis is described, not judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """An axis as it is fed; terms are numbered as in `chosen`, templates as in `templates`."""

    axis: Axis
    matched: Matched
    chosen: tuple[
        int, ...
    ]  # terms, as indices into both groups of the axis in order; the first group's first
    first: NDArray[np.bool_]  # [chosen term]
    templates: tuple[int, ...]  # indices into the templates of the axis
    cells: frozenset[tuple[int, int]]  # (template, term) to feed, as indices into the axis

    @property
    def few(self) -> str | None:
        """Why this can only be described; None where it can be judged."""
        terms = int(self.first.sum())
        if terms < LEAST_TERMS:
            return f"{terms} matched terms per group are too few to judge by ({LEAST_TERMS} are needed)"
        if len(self.templates) < LEAST_TEMPLATES:
            return f"{len(self.templates)} templates are too few to judge by ({LEAST_TEMPLATES} are needed)"
        return None


def design(axis: Axis, matched: Matched, *, sentences: int | None, seed: int) -> Design:
    """The matched pairs in the templates (the closest `MOST_PAIRS` in `MOST_TEMPLATES`), or as many as `sentences` allows.

    With a budget the 14 best matched pairs share 24 seeded templates, each pair standing in as many as there is room
    for, in rotation; both terms of a pair always stand in the same ones.
    """
    offset = len(axis.terms[0])
    if axis.rows is not None or sentences is None:
        kept = list(matched.pairs[:MOST_PAIRS])
        of_pairs = {term for a, b in kept for term in (a, b + offset)}
        every = axis.rows or {(t, term) for t in range(len(axis.templates)) for term in of_pairs}
        cells = {(t, term) for t, term in every if term in of_pairs}
        few = set(sorted({t for t, _ in cells})[:MOST_TEMPLATES])
        cells = {(t, term) for t, term in cells if t in few}
    else:
        kept = list(matched.pairs[:PAIRS])
        templates = _drawn(len(axis.templates), seed)
        share = min(len(templates), sentences // max(1, 2 * len(kept)))
        places = [
            [(number * share + step) % len(templates) for step in range(share)] for number in range(len(kept))
        ]
        cells = {
            (templates[place], term)
            for (a, b), where in zip(kept, places, strict=True)
            for place in where
            for term in (a, b + offset)
        }
    used = {term for _, term in cells}
    one, two = (
        sorted(a for a, _ in kept if a in used),
        sorted(b + offset for _, b in kept if b + offset in used),
    )
    return Design(
        axis=axis,
        matched=matched,
        chosen=(*one, *two),
        first=np.arange(len(one) + len(two)) < len(one),
        templates=tuple(sorted({template for template, _ in cells})),
        cells=frozenset(cells),
    )


def thinned(cells: Collection[tuple[int, int]], about: int) -> frozenset[tuple[int, int]]:
    """The sentences of every so many templates, about so many sentences."""
    templates = sorted({template for template, _ in cells})
    kept = set(templates[:: max(1, round(len(cells) / about))])
    return frozenset(cell for cell in cells if cell[0] in kept)


def _drawn(count: int, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng(seed).permutation(count)[:TEMPLATES].tolist()
    return sorted(order)


def placed(crossing: Crossing, made: Design) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each sentence of `crossing` in arrays [template, term] of this design."""
    templates = {template: row for row, template in enumerate(made.templates)}
    terms = {term: column for column, term in enumerate(made.chosen)}
    return (
        np.array([templates[template] for template in crossing.templates]),
        np.array([terms[term] for term in crossing.terms]),
    )
