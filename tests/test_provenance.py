"""The command that an audit records is one that can be typed."""

import shlex
from pathlib import Path

import pytest

from audit.cli.run import run
from audit.provenance import command_line, replay
from audit.results import Plan

PLAN = Plan(
    depth="quick",
    probes=("prose", "my texts.csv:text=body"),
    samples=20,
    metrics=("sink_mass",),
    threads=2,
    confirm=False,
    allow_pickle=True,
    show_text=True,
)


def understood(command):
    """What the command line makes of it: the options that are not the default's, as `run` takes them."""
    name, verb, *words = shlex.split(command)
    assert (name, verb) == ("attnaudit", "run")
    return run.make_context("run", words).params


def test_a_call_from_python_is_recorded_as_a_command():
    """Typed on a command line it means the same plan, with paths as they were given."""
    given = understood(
        command_line(Path("a model"), PLAN, adapter="lora", policy=Path("p.toml"), o=Path("here"))
    )
    assert given["checkpoint"] == Path("a model")
    assert (given["store"], given["adapter"], given["policy"]) == (Path("here"), Path("lora"), "p.toml")
    for name in ("depth", "probes", "samples", "metrics", "threads", "allow_pickle", "show_text", "confirm"):
        assert given[name] == getattr(PLAN, name)


def test_the_default_plan_needs_no_options():
    """What is not said is not different."""
    assert command_line(Path("model"), Plan(), policy=None, adapter=None) == "attnaudit run model"


@pytest.mark.parametrize("plan", [PLAN, Plan(chat=True, dtype="bfloat16", batch_size=2, max_length=64)])
def test_a_finding_is_reproduced_by_a_command_without_paths(plan):
    """A path is no part of the audit: names of files stay, folders do not."""
    given = understood(replay(plan))
    assert given["checkpoint"] == Path("CHECKPOINT")
    assert (given["samples"], given["chat"]) == (plan.samples, plan.chat)
    assert "/" not in replay(Plan(probes=("/somewhere/texts.txt",)))
