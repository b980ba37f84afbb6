"""The trainability diagram of a configuration: the phases around it, where it stands, and what would move it."""

from typing import Any, NamedTuple

import msgspec
import numpy as np

from audit.results.trainability import Axis, Diagram, Grid, Plane, Point, Trainability
from audit.theory.architecture import Architecture, Initialisation
from audit.theory.changes import changes
from audit.theory.configuration import Reading
from audit.theory.knobs import Outcome, by_depth, deeper, outcome, outcome_at, skip_strength
from audit.theory.phases import score_spread
from audit.theory.point import entropy_at, point
from audit.theory.profile import profile
from audit.theory.propagation import paths, propagate
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping, infinite_rows, rows_of
from audit.theory.states import Setting, setting
from audit.theory.wording import sentences

_COLUMNS, _ROWS = 25, 17
_BETAS = (0.03, 6.0)
_SKIPS = (0.05, 20.0)


class _Axes(NamedTuple):
    axis: Axis
    betas: Array
    levels: Array


def diagram(
    reading: Reading,
    *,
    axes: tuple[Axis, ...] = ("depth", "skip"),
    columns: int = _COLUMNS,
    rows: int = _ROWS,
) -> Diagram:
    """The diagram over inverse temperature and depth, and over skip scale; a few seconds even for 1000 blocks.

    Args:
        reading: a configuration, from `audit.theory.configuration.from_config`.
        axes: what runs upwards, one plane each.
        columns: inverse temperatures.
        rows: skip scales or depths.
    """
    a, i = reading.architecture, reading.initialisation
    table = rows_of(a)
    taken = paths(a, i, table)
    here, layers, tried = point(taken), profile(taken), changes(a, i, table)
    spans = [_axes(a, here.beta, axis, columns, rows) for axis in axes]
    standing = Trainability(
        model_type=reading.model_type,
        placement=a.placement if reading.known else None,
        point=here,
        profile=layers,
        changes=tried,
        words=sentences(a, here, layers, tried, reading.assumptions),
        assumptions=reading.assumptions,
        missing=reading.missing,
        remarks=reading.remarks,
    )
    return _rounded(Diagram(here=standing, planes=tuple(_plane(a, i, here, span, table) for span in spans)))


def _rounded(found: Diagram) -> Diagram:
    """Six significant digits, as all numbers of an audit have."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [plain(part) for part in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return msgspec.convert(plain(msgspec.to_builtins(found)), Diagram)


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
        entropy=tuple(entropy_at(here, beta) for beta in betas),
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
