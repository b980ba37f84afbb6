"""What findings are put down to: a frozen record, written to `audit.json`."""

from dataclasses import dataclass
from typing import Literal

Cause = Literal["initialisation", "architecture", "training dynamics", "data", "not decidable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Findings that share a cause, and what decides which it is."""

    title: str
    cause: Cause
    findings: tuple[str, ...]  # ids, in the order of the audit
    reasoning: tuple[str, ...]  # sentences: why these belong together, and what was measured of their origin
