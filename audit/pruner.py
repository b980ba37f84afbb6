"""From a published audit to a smaller checkpoint without what it found redundant, audited again."""

import dataclasses
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audit import catalog, store
from audit import plan as planning
from audit import policy as policies
from audit.auditor import audit_checkpoint
from audit.checkpoint.opening import Checkpoint, open_checkpoint
from audit.errors import UnusableInput
from audit.feeding import feeds_of, texts_of
from audit.interventions.choice import Choice, confirmed_parts, named_parts
from audit.interventions.prune import Pruned, cut_of, prune, refuse_used
from audit.interventions.toll import Toll, toll
from audit.models.loading import load_model
from audit.progress import Progress, Silent
from audit.request import Request, request
from audit.results import Audit, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the audited checkpoint stands now, if not where it was audited, and what opening it needs."""

    checkpoint: Path | None = None
    adapter: Path | None = None
    allow_pickle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller:
    """What was left out, what that cost, and both audits."""

    choice: Choice
    pruned: Pruned
    toll: Toll | str  # or why it could not be measured
    before: Audit
    after: Audit
    folder: Path  # of the audit of the new checkpoint
    remark: str | None  # where the new audit could not be made as the old one


def prune_audited(
    audit_dir: Path,
    directory: Path,
    *,
    source: Source | None = None,
    layers: Collection[int] = (),
    heads: Collection[tuple[int, int]] = (),
    policy: str | None = None,
    progress: Progress | None = None,
    command: str = "prune_audited(...)",
) -> Smaller:
    """Writes `directory`, a checkpoint without the parts named or, where none is, without what was confirmed redundant.

    It is audited as the old one was, into the same store. Whatever goes wrong, and when interrupted, `directory` is
    not there afterwards.

    Raises:
        UnusableInput: nothing is confirmed, the checkpoint is not the audited one, `directory` exists, or the
            architecture cannot do without these parts.
        MachineFault: as any audit does.
    """
    source, progress = source or Source(), progress or Silent()
    before = store.read(audit_dir)
    choice = named_parts(before, layers, heads) if layers or heads else confirmed_parts(before)
    cut_of(before.coverage.layers, blocks=choice.blocks, heads=choice.heads, attention=choice.attention)
    refuse_used(directory)
    plan, remark = plan_of(before, allow_pickle=source.allow_pickle)
    policy, home = policy or _policy(before), audit_dir.resolve().parent
    asked = request(_opened(before, source), plan, policies.load(policy), command=command)
    pruned, cost = _pruned(asked, before, choice, directory, progress)
    with _gone_on_failure(directory):
        after = audit_checkpoint(
            directory, plan, policy=policy, store=home, progress=progress, command=command
        )
    folder = home / after.audit_id
    return Smaller(
        choice=choice, pruned=pruned, toll=cost, before=before, after=after, folder=folder, remark=remark
    )


def plan_of(audit: Audit, *, allow_pickle: bool) -> tuple[Plan, str | None]:
    """The plan that `audit` was made by, and what of it is lost: a user's own texts are not kept with an audit."""
    fields = {field.name for field in dataclasses.fields(Plan)} & set(audit.plan)
    given = {name: audit.plan[name] for name in fields - {"probes", "metrics"}}
    plan = Plan(**given, metrics=tuple(audit.plan["metrics"]), allow_pickle=allow_pickle)
    names = tuple(audit.plan["probes"])
    if foreign := [name for name in names if name not in {*catalog.probes(), *catalog.pairs()}]:
        return (
            plan,
            f"audited again on the built-in texts: those of {', '.join(foreign)} are not kept with an audit",
        )
    usual = (*(probe.name for probe in planning.probes(plan)), *(pair.name for pair in planning.pairs(plan)))
    return (plan if names == usual else dataclasses.replace(plan, probes=names)), None


def _opened(before: Audit, source: Source) -> Checkpoint:
    """The checkpoint that was audited, and no other."""
    path = source.checkpoint or Path(before.provenance.path)
    if not path.exists():
        raise UnusableInput(
            f"the audited checkpoint is no longer at {str(path)!r}: say with --checkpoint where it is"
        )
    if before.subject.adapter and source.adapter is None:
        raise UnusableInput("the audit is of a checkpoint with an adapter merged in: name it with --adapter")
    opened = open_checkpoint(path, adapter=source.adapter, allow_pickle=source.allow_pickle)
    found = [opened.digest, opened.adapter.digest if opened.adapter else None]
    if found != [before.subject.digest, before.subject.adapter]:
        raise UnusableInput(
            f"{str(path)!r} is not what was audited: its digest is {opened.digest[:12]}, the audit's "
            f"{before.subject.digest[:12]}, or their adapters differ; audit it again, or name the right one with "
            "--checkpoint"
        )
    return opened


def _policy(audit: Audit) -> str | None:
    """The audit's policy where it ships with the package, else the default one."""
    return audit.policy.name if audit.policy.name in policies.shipped() else None


def _pruned(
    asked: Request, before: Audit, choice: Choice, directory: Path, progress: Progress
) -> tuple[Pruned, Toll | str]:
    """What was written and what it costs; the old model is out of memory afterwards."""
    layers, plan = before.coverage.layers, asked.plan
    parts: Mapping[str, Any] = {
        "blocks": choice.blocks,
        "attention": choice.attention,
        "heads": choice.heads,
    }
    cut = cut_of(layers, **parts)
    with progress.stage("load", 1) as advance:
        loaded = load_model(asked.checkpoint, dtype=getattr(torch, plan.dtype), device=plan.device)
        advance(1)
    with progress.stage("prune", 2) as advance:
        texts = texts_of(asked, loaded, feeds_of(asked, loaded)[0])
        cost = toll(loaded, layers=layers, cut=cut, texts=texts.confirmation, seed=plan.seed)
        advance(1)
        pruned = prune(loaded, directory, layers=layers, **parts)
        advance(1)
    return pruned, cost


@contextmanager
def _gone_on_failure(directory: Path) -> Iterator[None]:
    """A checkpoint that could not be audited is not left behind, be it for an error or an interruption."""
    try:
        yield
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
