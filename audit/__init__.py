"""Offline audits of transformer checkpoints: `from audit import audit_checkpoint, Plan, Audit`."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.auditor import audit_checkpoint
    from audit.results import Audit, Plan

__all__ = ["Audit", "Plan", "audit_checkpoint"]

# Threads of OpenMP that wait for work turn in circles for 10 ms, and take the cores from threads that have some: our
# eigenproblems take twice as long then. Turns; read when torch is loaded. Whoever set it means it.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # noqa: TID251 - set, not read; nothing else can tell libgomp

_ROOMS = {"Audit": "audit.results", "Plan": "audit.results", "audit_checkpoint": "audit.auditor"}


def __getattr__(name: str) -> Any:
    """Resolve the door's names on first use, so that `import audit.store` costs no import of torch."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'audit' has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
