"""The trainability diagram of a configuration: the phases around it, where it stands, and what would move it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.changes import changes
from audit.theory.knobs import Outcome, Setting, by_depth, deeper, outcome, outcome_at, setting, skip_strength
from audit.theory.nearest import failing_assumptions
from audit.theory.paths import paths
from audit.theory.phases import score_spread
from audit.theory.point import Point, point
from audit.theory.profile import Profile, profile
from audit.theory.propagation import propagate
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping, infinite_rows, rows_of
from audit.theory.turning import Change
from audit.theory.wording import sentences

Axis = Literal["skip", "depth"]

_COLUMNS, _ROWS = 25, 17
_BETAS = (0.03, 6.0)
_SKIPS = (0.05, 20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Cells [level, beta] of one map."""

    phase: tuple[tuple[str, ...], ...]
    similarity: tuple[tuple[float, ...], ...]  # rho_L, token cosine after the last block


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One picture: the phases over inverse temperature and skip scale, or inverse temperature and depth."""

    axis: Axis  # what the levels are
    betas: tuple[float, ...]  # inverse temperature of attention, left to right
    levels: tuple[float, ...]  # skip scale alpha, or number of blocks, bottom up
    finite: Grid  # at the real T
    infinite: Grid  # the paper's T -> infinity map
    entropy: tuple[float, ...]  # H / log T of a row of the first block, by beta


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """Everything a page about trainability at initialisation needs; plain numbers and words."""

    architecture: Architecture
    initialisation: Initialisation
    planes: tuple[Plane, ...]
    point: Point  # this configuration
    profile: Profile  # layer by layer
    changes: tuple[Change, ...]  # what was tried, and what it takes to reach another phase
    assumptions: tuple[str, ...]  # of the theory that fail for this model
    words: tuple[str, ...]  # which side it is on and what would move it, in sentences


class _Axes(NamedTuple):
    axis: Axis
    betas: Array
    levels: Array


def diagram(
    architecture: Architecture,
    initialisation: Initialisation,
    *,
    axes: tuple[Axis, ...] = ("skip", "depth"),
    columns: int = _COLUMNS,
    rows: int = _ROWS,
    assumptions: tuple[str, ...] | None = None,
) -> Diagram:
    """The diagram over inverse temperature and skip scale, and over depth; a few seconds even for 1000 blocks.

    Args:
        architecture: shape; see `audit.theory.configuration.from_config`.
        initialisation: spread of the weights, and the tokens that enter.
        axes: what runs upwards, one plane each.
        columns: inverse temperatures.
        rows: skip scales or depths.
        assumptions: of the theory that fail for this model; None = those the architecture shows.
    """
    table = rows_of(architecture)
    taken = paths(architecture, initialisation, table)
    here, layers = point(taken), profile(taken)
    tried = changes(architecture, initialisation, table)
    failing = failing_assumptions(architecture) if assumptions is None else assumptions
    spans = [_axes(architecture, here.beta, axis, columns, rows) for axis in axes]
    return Diagram(
        architecture=architecture,
        initialisation=initialisation,
        planes=tuple(_plane(architecture, initialisation, here, span, table) for span in spans),
        point=here,
        profile=layers,
        changes=tried,
        assumptions=failing,
        words=sentences(architecture, here, layers, tried, failing),
    )


def _plane(
    architecture: Architecture,
    initialisation: Initialisation,
    here: Point,
    axes: _Axes,
    table: Overlapping,
) -> Plane:
    run = _over_depth if axes.axis == "depth" else _over_skip
    betas = tuple(axes.betas.tolist())
    return Plane(
        axis=axes.axis,
        betas=betas,
        levels=tuple(axes.levels.tolist()),
        finite=_grid(run(architecture, initialisation, axes, table)),
        infinite=_grid(run(architecture, initialisation, axes, infinite_rows(architecture))),
        entropy=tuple(here.entropy_at(beta) for beta in betas),
    )


def _grid(found: Outcome) -> Grid:
    phases, similarities = found.phase.tolist(), found.similarity.tolist()
    return Grid(
        phase=tuple(tuple(row) for row in phases), similarity=tuple(tuple(row) for row in similarities)
    )


def _axes(architecture: Architecture, beta: float, axis: Axis, columns: int, rows: int) -> _Axes:
    """Ranges wide enough to hold this configuration well inside."""
    betas = np.geomspace(min(_BETAS[0], beta / 2.0), max(_BETAS[1], 2.0 * beta), columns)
    if axis == "depth":
        depths = np.unique(np.geomspace(1, _deepest(architecture.depth), rows).astype(np.int64))
        return _Axes(axis, betas, depths.astype(np.float64))
    skip = architecture.skip_attention or 1.0
    return _Axes(axis, betas, np.geomspace(min(_SKIPS[0], skip / 2.0), max(_SKIPS[1], 2.0 * skip), rows))


def _over_skip(
    architecture: Architecture, initialisation: Initialisation, axes: _Axes, overlaps: Overlapping
) -> Outcome:
    base = setting(architecture, initialisation)
    factors = axes.levels[:, None] / (architecture.skip_attention or 1.0)
    return outcome(architecture, _at_betas(architecture, _skips(architecture, base, factors), axes), overlaps)


def _over_depth(
    architecture: Architecture, initialisation: Initialisation, axes: _Axes, overlaps: Overlapping
) -> Outcome:
    depths = axes.levels.astype(np.int64)[:, None]
    these = _at_betas(architecture, by_depth(architecture, initialisation, depths), axes)
    path = propagate(deeper(architecture, int(depths.max())), these.gains, these.first, overlaps)
    return outcome_at(architecture, these, path, depths)


def _skips(architecture: Architecture, base: Setting, factors: Array) -> Setting:
    """Skip scales times `factors`; where the model has no skip the factors are the scales."""
    if architecture.skip_attention:
        return skip_strength(architecture, base, factors)
    return base._replace(gains=base.gains._replace(skip_attention=factors, skip_mlp=factors))


def _at_betas(architecture: Architecture, these: Setting, axes: _Axes) -> Setting:
    """Scores of the spread each column stands for; the bias of W_Q keeps its share."""
    spread = score_spread(axes.betas, architecture.tokens)[None, :]
    return these._replace(gains=these.gains._replace(score_sd=spread))


def _deepest(depth: int) -> int:
    """Four times the depth, within what a few seconds allow."""
    return max(64, min(4 * depth, 1024), depth)
