"""`attnaudit run --explain`: what an audit will do and take, as lines or as JSON."""

import dataclasses
import json
import time
from pathlib import Path

import psutil

from audit import policy as policies
from audit.checkpoint.opening import open_checkpoint
from audit.explaining.estimate import Estimate, estimate
from audit.request import request
from audit.results import Plan


def explained(
    checkpoint: Path, plan: Plan, *, policy: str | None, adapter: Path | None, pdf: bool, as_json: bool
) -> str:
    """What is printed; nothing is measured, and nothing written.

    Raises:
        UnusableInput: as an audit does, and where it takes more memory than there is.
    """
    opened = open_checkpoint(checkpoint, adapter=adapter, allow_pickle=plan.allow_pickle)
    asked = request(opened, plan, policies.load(policy), command="")
    found = estimate(asked, spent=_age, pdf=pdf)
    return _json(found) if as_json else _lines(found)


def _age() -> float:
    """Seconds since this process began: importing the libraries takes longer than most models."""
    return time.time() - psutil.Process().create_time()


def _lines(found: Estimate) -> str:
    names = [f"{stage.name} (at most)" if stage.at_most else stage.name for stage in found.stages]
    width = max(map(len, names))
    lines = [f"{'stage':{width}}  {'passes':>9}  {'tokens':>11}  {'time':>9}"]
    for name, stage in zip(names, found.stages, strict=True):
        passes, tokens = f"{round(stage.passes):,}", f"{stage.tokens:,}"
        lines.append(f"{name:{width}}  {passes:>9}  {tokens:>11}  {_time(stage.seconds):>9}")
    lines += [f"not foreseen: {name}, a published data set" for name in found.left_out]
    return "\n".join(
        [*lines, f"about {_time(found.seconds)} and {found.peak / 1e9:.1f} GB; nothing was measured"]
    )


def _time(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"


def _json(found: Estimate) -> str:
    stages = [
        dataclasses.asdict(stage) | {"passes": round(stage.passes), "seconds": round(stage.seconds, 2)}
        for stage in found.stages
    ]
    whole = {"stages": stages, "seconds": round(found.seconds, 1), "peak_bytes": found.peak}
    return json.dumps(whole | {"available_bytes": found.available, "not_foreseen": found.left_out}, indent=2)
