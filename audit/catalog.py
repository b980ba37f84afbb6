"""Finds metrics, rules and probes by file; the only dynamic import of the library.

A piece is a module which holds METRIC, RULE, PROBE or PAIRS; one without is a helper of its neighbours. A module that cannot
be imported, or whose piece is not named after its file, is an error that names the file: never a warning.
"""

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TypeVar

import audit.metrics
import audit.probes
import audit.rules
from audit.definitions import PairProbe, Probe, Quantity, Rule
from audit.errors import InternalFault, unknown_name

Piece = TypeVar("Piece", Quantity, PairProbe, Probe, Rule)


@cache
def metrics() -> dict[str, Quantity]:
    """Every metric by name, sorted."""
    return _pieces(audit.metrics, "METRIC", Quantity)


@cache
def rules() -> dict[str, Rule]:
    """Every rule by name, sorted."""
    return _pieces(audit.rules, "RULE", Rule)


@cache
def probes() -> dict[str, Probe]:
    """Every built-in probe by name, sorted."""
    return _pieces(audit.probes, "PROBE", Probe)


@cache
def pairs() -> dict[str, PairProbe]:
    """Every built-in probe of demographic pairs by name, sorted."""
    return _pieces(audit.probes, "PAIRS", PairProbe)


def chosen(kind: str, names: tuple[str, ...], known: dict[str, Piece]) -> dict[str, Piece]:
    """The pieces called `names`; UnusableInput with the nearest names for one that is not there."""
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, list(known))
    return {name: known[name] for name in sorted(set(names))}


def _pieces(package: ModuleType, attribute: str, kind: type[Piece]) -> dict[str, Piece]:
    found = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        path = f"{package.__name__}.{module.name}"
        try:
            piece = getattr(import_module(path), attribute, None)
        except Exception as error:
            raise InternalFault(f"{path} cannot be imported: {error!r}") from error
        if piece is None:
            continue
        if not isinstance(piece, kind) or piece.name != module.name:
            raise InternalFault(f"{path}.{attribute} must be a {kind.__name__} named {module.name!r}")
        found[piece.name] = piece
    return found
