"""What the numbers and words of a plan may be; known without loading anything that measures."""

import re
from typing import Final

from audit.errors import UnusableInput
from audit.results import Plan

LARGEST_SEED: Final = 2**63 - 1  # what every generator of random numbers in use takes
MOST_SHARDS: Final = (
    16  # that a probe is cut into: more would be more files, and seldom are so many workers free
)
LEAST_MEMORY: Final = 2**24  # bytes; no part of a model and what is made of it takes less
SMALLEST_LENGTH: Final = 16  # tokens; below it an attention pattern says next to nothing

_LIMITS: Final = {
    "samples": (1, 100_000),
    "max_length": (SMALLEST_LENGTH, 131_072),
    "batch_size": (1, 1_024),
    "spectra": (1, 100_000),
}
_CHOICES: Final = {"depth": ("quick", "standard", "full"), "dtype": ("float32", "bfloat16", "float16")}
_DEVICE: Final = re.compile(r"cpu|(cuda|xpu)(:\d+)?")


def checked(plan: Plan) -> Plan:
    """`plan` itself, once every value was found usable; UnusableInput names the first that is not."""
    for option, (low, high) in _LIMITS.items():
        value = getattr(plan, option)
        if not low <= value <= high:
            raise UnusableInput(f"--{option.replace('_', '-')} {value} is outside {low}..{high}")
    for option, known in _CHOICES.items():
        if getattr(plan, option) not in known:
            raise UnusableInput(f"--{option} {getattr(plan, option)!r} is none of {', '.join(known)}")
    if not _DEVICE.fullmatch(plan.device):
        raise UnusableInput(f"--device {plan.device!r} is none of cpu, cuda, cuda:N, xpu, xpu:N")
    if plan.seed < 0:
        raise UnusableInput(f"--seed {plan.seed} is negative; give 0 or more")
    if plan.seed > LARGEST_SEED:
        raise UnusableInput(f"--seed {plan.seed} is too large; give at most {LARGEST_SEED}")
    if plan.threads is not None and plan.threads < 1:
        raise UnusableInput(f"--threads {plan.threads} is below 1")
    if plan.max_memory is not None and plan.max_memory < LEAST_MEMORY:
        raise UnusableInput(f"--max-memory {plan.max_memory} is below {LEAST_MEMORY} bytes (16MiB)")
    return plan
