"""The jobs that help another one: each goes through its audit on a worker of its own and publishes nothing."""

from collections.abc import Callable
from dataclasses import replace

from audit.errors import AuditError, UnusableInput
from audit.limits import MOST_SHARDS
from audit.results import Plan
from workers.message import Message


def check_shards(shards: int, plan: Plan) -> None:
    """UnusableInput where so many workers cannot share that plan."""
    if not 1 <= shards <= MOST_SHARDS:
        raise UnusableInput(f"shards {shards} is outside 1..{MOST_SHARDS}")
    if shards > 1 and plan.max_memory:
        raise UnusableInput("--shards with --max-memory: one worker reads the weights once; use either")


def helpers_of(job_id: str, shards: int) -> list[str]:
    """Ids of those that help a job which so many workers are to share."""
    return [f"{job_id}-shard-{number}" for number in range(2, shards + 1)]


def call_helpers(
    accept: Callable[[str, Message], object], job_id: str, message: Message, *, shards: int
) -> str | None:
    """Why fewer than `shards` workers will share the accepted job, or None: it is made all the same."""
    for count, helper in enumerate(helpers_of(job_id, shards), 1):
        try:
            accept(helper, replace(message, helps=job_id))
        except AuditError as error:  # a full queue, or a job that is over by now
            return f"{count} of {shards} shares were accepted: {error}"
    return None
