"""Every error a user can meet, in one tree; each carries the exit code the command line ends with.

AuditError
├── UnusableInput (2)      what was handed in cannot be used: a path, an option, a probe file, a policy
│   ├── RefusedCheckpoint  opening or running this checkpoint would be unsafe, wrong or impossible
│   ├── NothingObserved    the model ran, yet no softmax attention layer was seen
│   └── OtherSchema        an audit was written in a schema this version does not read
├── NotComparable (3)      audits that say nothing about each other
├── MachineFault (5)       disk, memory or an unreachable service stopped the work
└── InternalFault (4)      a promise of this program was broken

A message is one line: what was found, where, and what to do about it.
"""

from difflib import get_close_matches
from typing import ClassVar


class AuditError(Exception):
    """Base of all errors meant for a user; `str(error)` is the line to print."""

    exit_code: ClassVar[int] = 4


class UnusableInput(AuditError):
    """Something handed in by the user cannot be used."""

    exit_code = 2


class RefusedCheckpoint(UnusableInput):
    """The checkpoint is unsafe, damaged, incomplete or of a kind that cannot be audited."""


class NothingObserved(UnusableInput):
    """No softmax attention layer was seen in the pass, so there is nothing to report."""


class OtherSchema(UnusableInput):
    """The audit is in a schema that this version does not read."""


class NotComparable(AuditError):
    """The audits say nothing about each other: other texts, other sampling, other metrics or another schema."""

    exit_code = 3


class MachineFault(AuditError):
    """The machine gave out: no space, no memory, no permission, no service."""

    exit_code = 5


class InternalFault(AuditError):
    """A fault of ours; the report should be sent with `--debug` output."""

    exit_code = 4


def is_panic(error: BaseException) -> bool:
    """Whether a library written in Rust gave up: what it raises is no Exception, and no class one could import."""
    return type(error).__name__ == "PanicException"


def unknown_name(kind: str, name: str, known: list[str]) -> UnusableInput:
    """The error for a name that is not in `known`, with the nearest ones first."""
    near = get_close_matches(name, known, n=3) or sorted(other for other in known if name in other)[:3]
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
    return UnusableInput(f"unknown {kind} {name!r}: {hint}")
