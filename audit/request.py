"""What is asked for, resolved: names looked up, ids known, everything refusable refused before the model is loaded."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import torch

from audit import plan as planning
from audit.checkpoint.opening import Checkpoint
from audit.definitions import PairProbe, Probe, Quantity
from audit.identity import digest_of
from audit.limits import checked
from audit.policy import Policy
from audit.probes.published.items import PublishedProbe
from audit.results import Plan
from audit.version import ENGINE


class Request(NamedTuple):
    """What is asked for, resolved: the checkpoint opened, the names looked up, the ids known before any work."""

    checkpoint: Checkpoint
    plan: Plan
    policy: Policy
    probes: tuple[Probe, ...]
    pairs: tuple[PairProbe, ...]
    published: tuple[PublishedProbe, ...]
    metrics: tuple[Quantity, ...]
    measurement_id: str
    audit_id: str
    command: str

    @property
    def steps_id(self) -> str:
        """Of all that decides what a step of the audit makes, to the last bit, given as many threads."""
        return digest_of([self.audit_id, self.plan.batch_size])


def request(checkpoint: Checkpoint, plan: Plan, policy: Policy, *, command: str) -> Request:
    """Everything that can be known and refused before the model is loaded."""
    checked(plan)
    probes, pairs, metrics = planning.probes(plan), planning.pairs(plan), planning.metrics(plan)
    published = planning.published(plan)
    fed: list[planning.Fed] = [*probes, *pairs, *published]
    measurement_id = planning.measurement_id(checkpoint, plan, fed, metrics, engine=engine())
    return Request(
        checkpoint,
        plan,
        policy,
        probes,
        pairs,
        published,
        metrics,
        measurement_id,
        audit_id(measurement_id, policy, confirm=plan.confirm),
        command,
    )


def measurement_id_with(asked: Request, metrics: Sequence[str]) -> str:
    """The id of what is asked for, had these metrics been named; UnusableInput for one that is not there."""
    plan = dataclasses.replace(asked.plan, metrics=tuple(metrics))
    fed: list[planning.Fed] = [*asked.probes, *asked.pairs, *asked.published]
    return planning.measurement_id(asked.checkpoint, plan, fed, planning.metrics(plan), engine=engine())


def audit_id(measurement_id: str, policy: Policy, *, confirm: bool) -> str:
    """Identity of the judgement: the measurement, the policy and, where a waiver may expire, the day."""
    today = dt.datetime.now(dt.UTC).date()
    day = today.isoformat() if any("expires" in waiver for waiver in policy.waivers) else None
    return digest_of([measurement_id, policy.record(today).digest, day, confirm])[:16]


def engine() -> dict[str, str]:
    """Versions that are part of a measurement's identity."""
    return {
        "attention-audit": ENGINE,
        "torch": str(torch.__version__),
        "transformers": version("transformers"),
    }
