"""How long the windows of a probe for long context are: as long as the model and the cost allow."""

from typing import NamedTuple

from audit.definitions import Probe
from audit.results import Plan

LENGTHS = (4096, 2048, 1024, 512, 256)  # tokens
# samples x heads x tokens^3, what the spectra of all patterns take: 2e12 are some three minutes on one core
COST = 2e12
SAMPLES = 32  # of the usual plan; with the plan's own, a sample's window would depend on how many there are


class Cut(NamedTuple):
    """How a probe is cut."""

    length: int  # tokens of a window
    batch_size: int
    remark: str | None


def stretched(probe: Probe, plan: Plan, *, heads: int | None, max_positions: int | None) -> Cut:
    """The windows of `probe` on a model of so many heads in all its layers (None: leave the plan's length).

    Batches shrink as windows grow, so that no attention pattern takes more memory than under the plan's length.
    """
    room = max_positions or LENGTHS[0]
    if not probe.stretches or heads is None or min(room, LENGTHS[0]) <= plan.max_length:
        return Cut(min(plan.max_length, max_positions or plan.max_length), plan.batch_size, None)
    affordable = next((n for n in LENGTHS if SAMPLES * heads * n**3 <= COST), LENGTHS[-1])
    length = max(plan.max_length, min(affordable, room))
    bound = "the model has no more positions" if length == room else "more would take too long"
    return Cut(
        length,
        max(1, plan.batch_size * plan.max_length**2 // length**2),
        f"windows of {length} tokens, not {plan.max_length}, for this probe shows what needs length; {bound}"
        if length > plan.max_length
        else None,
    )
