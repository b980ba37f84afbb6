"""Which terms stand in which templates: matched pairs of terms together, within a budget of sentences."""

from collections import Counter
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
            few = f"{terms} matched terms per group are too few to judge by ({LEAST_TERMS} are needed)"
            alone = len(self.matched.unmatched)
            return f"{few}; {alone} have no counterpart of as many word pieces" if alone else few
        if len(self.templates) < LEAST_TEMPLATES:
            return f"{len(self.templates)} templates are too few to judge by ({LEAST_TEMPLATES} are needed)"
        return None


def design(axis: Axis, matched: Matched, *, sentences: int | None, seed: int) -> Design:
    """The matched pairs in the templates (the closest `MOST_PAIRS` in `MOST_TEMPLATES`), or as many as `sentences` allows.

    With a budget the best matched pairs share 24 templates (seeded, or of a file of one's own those that hold most),
    each pair standing in as many as there is room for, in rotation; both terms of a pair always stand in the same ones,
    unless a file lists them apart.
    """
    offset = len(axis.terms[0])
    if sentences is None:
        kept = list(matched.pairs[:MOST_PAIRS])
        cells = _standing(axis, kept)
        few = set(_fullest(cells, MOST_TEMPLATES))
        cells = {(t, term) for t, term in cells if t in few}
    else:
        room = PAIRS if axis.rows is None else min(max(PAIRS, sentences // (2 * TEMPLATES)), MOST_PAIRS)
        kept = list(matched.pairs[:room])
        every = _standing(axis, kept)
        templates = _drawn(len(axis.templates), seed) if axis.rows is None else _fullest(every, TEMPLATES)
        share = sentences // max(1, 2 * len(kept))
        cells = {
            (template, term)
            for number, (a, b) in enumerate(kept)
            for template in _rotated(
                [t for t in templates if (t, a) in every or (t, b + offset) in every], number, share
            )
            for term in (a, b + offset)
            if (template, term) in every
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


def _standing(axis: Axis, kept: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Every sentence (template, term) that the terms of `kept` can stand in."""
    terms = {term for a, b in kept for term in (a, b + len(axis.terms[0]))}
    every = axis.rows or {(t, term) for t in range(len(axis.templates)) for term in terms}
    return {(t, term) for t, term in every if term in terms}


def _fullest(cells: Collection[tuple[int, int]], most: int) -> list[int]:
    """The templates in which most terms stand."""
    held = Counter(template for template, _ in cells)
    return sorted(sorted(held, key=lambda template: (-held[template], template))[:most])


def _rotated(templates: list[int], number: int, share: int) -> list[int]:
    """The share of one pair: it begins where that of the pair before it ends."""
    share = min(len(templates), share)
    return [templates[(number * share + step) % len(templates)] for step in range(share)]


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
