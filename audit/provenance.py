"""How an audit came about, and the command that repeats it."""

import datetime as dt
import platform
import sys
from pathlib import Path

import torch

from audit.request import Request, engine
from audit.results import Plan, Provenance


def provenance(asked: Request, started: dt.datetime, seconds: float) -> Provenance:
    """Path, versions, machine and command: what stays outside every digest."""
    return Provenance(
        path=str(asked.checkpoint.directory / (asked.checkpoint.gguf_file or "")),
        versions={**engine(), "python": platform.python_version(), "platform": sys.platform},
        device=asked.plan.device,
        dtype=asked.plan.dtype,
        threads=torch.get_num_threads(),
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        command=asked.command,
    )


def replay(plan: Plan) -> str:
    """The command that measures this again; the path stays a placeholder, for it is no part of the audit."""
    default = Plan()
    words = ["attnaudit run CHECKPOINT"]
    for name in ("depth", "samples", "max_length", "batch_size", "seed", "device", "dtype"):
        value = getattr(plan, name)
        if value != getattr(default, name):
            words.append(f"--{name.replace('_', '-')} {value}")
    words += [f"--probe {Path(probe).name}" for probe in plan.probes]
    words += [f"--metric {metric}" for metric in plan.metrics]
    words += ["--chat"] if plan.chat else []
    words += [] if plan.confirm else ["--no-confirm"]
    return " ".join(words)
