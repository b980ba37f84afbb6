"""What rules about the untrained configuration share: they judge arithmetic, not measurements."""

from typing import Literal

from audit.definitions import Case
from audit.results import Confirmation
from audit.results.trainability import Trainability

COMPUTED = Confirmation(
    status="absolute", reason="follows from the configuration by arithmetic: nothing to take out"
)


def why_absent(case: Case) -> str:
    """Why the theory has no answer for this checkpoint."""
    reasons = [each.reason for each in case.coverage.skipped if each.metric == "trainability"]
    return reasons[0] if reasons else "the trainability of the configuration was not computed"


def severity(here: Trainability) -> Literal["info"] | None:
    """A remark where the theory only comes near this architecture; else what the policy says."""
    return "info" if here.assumptions else None


def mended(here: Trainability) -> str:
    """The changes that would make it trainable, in a sentence; empty where none was found."""
    words = [change.words for change in here.changes if change.phase == "trainable"]
    return f" What would mend it: {'; '.join(words)}." if words else ""
