"""How an audit came about, and the command that repeats it."""

import dataclasses
import datetime as dt
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from audit.probes.published import kind_of
from audit.request import Request, engine
from audit.results import Plan, Provenance


def provenance(asked: Request, spread: Sequence[str], started: dt.datetime, seconds: float) -> Provenance:
    """Path, versions, machine and command: what stays outside every digest.

    `spread` are the devices that the model was spread over, if it was.
    """
    return Provenance(
        path=str(asked.checkpoint.directory / (asked.checkpoint.gguf_file or "")),
        versions={**engine(), "python": platform.python_version(), "platform": sys.platform},
        device=", ".join(spread) or asked.plan.device,
        dtype=asked.plan.dtype,
        threads=torch.get_num_threads(),
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        command=asked.command,
    )


def replay(plan: Plan) -> str:
    """The command that measures this again; paths stay placeholders, for they are no part of the audit."""
    probes = tuple(_named(probe) for probe in plan.probes)
    return shlex.join(["attnaudit", "run", "CHECKPOINT", *_options(dataclasses.replace(plan, probes=probes))])


def _named(probe: str) -> str:
    """A probe without the folder that it is in; what stands before a colon says of which kind it is."""
    kind, colon, file = probe.rpartition(":") if kind_of(probe) else ("", "", probe)
    return f"{kind}{colon}{Path(file).name}"


def command_line(checkpoint: Path, plan: Plan, **others: Path | str | None) -> str:
    """The command that does what a call from Python did; `others` are further options and their values, if any."""
    given = [word for name, value in others.items() if value for word in (_flag(name), str(value))]
    unseen = ("allow_pickle", "show_text")
    words = [_flag(name) for name in unseen if getattr(plan, name)]
    for name in ("threads", "max_memory"):
        words += [] if getattr(plan, name) is None else [_flag(name), str(getattr(plan, name))]
    return shlex.join(["attnaudit", "run", str(checkpoint), *given, *_options(plan), *words])


def _options(plan: Plan) -> list[str]:
    """The options that make a plan of the default one, but for those that change nothing that is measured."""
    default = Plan()
    words = []
    for name in ("depth", "samples", "max_length", "batch_size", "spectra", "seed", "device", "dtype"):
        value = getattr(plan, name)
        if value != getattr(default, name):
            words += [_flag(name), str(value)]
    words += [word for probe in plan.probes for word in ("--probe", probe)]
    words += [word for metric in plan.metrics for word in ("--metric", metric)]
    words += ["--chat"] if plan.chat else []
    return words + ([] if plan.confirm else ["--no-confirm"])


def _flag(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
