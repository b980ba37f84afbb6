"""What `run --explain` says beforehand, against what audits then do."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

from audit import policy as policies
from audit.auditor import audit_checkpoint
from audit.checkpoint.opening import open_checkpoint
from audit.explaining import memory
from audit.explaining.estimate import Estimate, estimate
from audit.explaining.memory import Build, Fed, beyond
from audit.explaining.stages import Heads, experiments
from audit.request import request
from audit.results import Plan

QUICK = Plan(depth="quick", samples=8, max_length=32)
BUILD = Build(
    task="causal", layers=2, heads=4, all_heads=8, hidden=8, vocabulary=10, bytes=4, whole_patterns=True
)


def told(checkpoint: Path, plan: Plan) -> Estimate:
    asked = request(open_checkpoint(checkpoint), plan, policies.load(None), command="")
    return estimate(asked, spent=lambda: 1.0)


@contextmanager
def counted() -> Iterator[list[int]]:
    """Rows times tokens of every pass of a whole BERT meanwhile, and of parts of it that begin later."""
    calls: list[int] = []

    def note(module: Any, _args: Any) -> None:
        if type(module).__name__ == "BertForMaskedLM":
            calls.append(1)

    handle = register_module_forward_pre_hook(note)
    try:
        yield calls
    finally:
        handle.remove()


def test_quick_makes_the_passes_that_are_listed(bert_tiny: Path, tmp_path: Path) -> None:
    """One for one, the survey's and that of the pictures included."""
    listed = told(bert_tiny, QUICK)
    with counted() as calls:
        audit_checkpoint(bert_tiny, QUICK, store=tmp_path, pdf=False)

    assert sum(stage.passes for stage in listed.stages) == len(calls)
    assert not any(stage.at_most for stage in listed.stages)


@pytest.mark.parametrize(("depth", "people"), [("standard", True), ("full", False)])
def test_deeper_audits_make_no_more_passes_than_listed(
    bert_tiny: Path, tmp_path: Path, depth: Any, people: Any
) -> None:
    """At most 1.3 times as many; what depends on what is found is listed at its most."""
    probes = ("prose", "demographics") if people else ("prose",)
    plan = Plan(depth=depth, samples=8, max_length=32, probes=probes)
    listed = told(bert_tiny, plan)
    with counted() as calls:
        audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False)

    assert len(calls) <= 1.3 * sum(stage.passes for stage in listed.stages)
    names = {stage.name for stage in listed.stages}
    assert {"observe prose", "confirm", "drop curves"} <= names
    assert ({"observe demographics", "weigh skew"} <= names) == people
    assert ("gradients prose" in names) == (depth == "full")


def test_an_encoder_has_no_remedies_and_no_gradients(minilm: Path) -> None:
    """Nothing is listed that cannot be done."""
    names = [stage.name for stage in told(minilm, Plan(depth="full", probes=("prose",), samples=4)).stages]
    assert not {"remedies", "reach", "gradients prose"} & set(names)
    assert "confirm" in names


def test_lines_say_what_it_takes_and_nothing_is_stored(
    bert_tiny: Path, tmp_path: Path, attnaudit: Callable[..., Any]
) -> None:
    """Aligned columns, one sum; no store appears."""
    ran = attnaudit("run", bert_tiny, "--explain", "--depth", "quick", "--samples", 8, "-o", tmp_path / "a")
    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert lines[0].split() == ["stage", "passes", "tokens", "time"]
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[-1].endswith("GB; nothing was measured")
    assert list(tmp_path.iterdir()) == []


def test_json_says_the_same(bert_tiny: Path, attnaudit: Callable[..., Any]) -> None:
    """Stages in order, seconds and bytes."""
    ran = attnaudit("run", bert_tiny, "--explain", "--depth", "quick", "--samples", 8, "--json")
    found = json.loads(ran.out)
    assert [stage["name"] for stage in found["stages"]][:2] == ["load", "observe prose"]
    assert found["stages"][1]["passes"] == 1
    assert 0 < found["peak_bytes"] < found["available_bytes"]
    assert found["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"]), abs=0.2)


def test_what_cannot_fit_is_refused_with_the_setting_that_would(
    bert_tiny: Path, attnaudit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line, exit code 2; with that setting it is explained."""
    words = ("run", bert_tiny, "--explain", "--depth", "quick", "--batch-size", 32, "-o", tmp_path)
    monkeypatch.setattr(memory, "available", lambda: 300_000_000)
    ran = attnaudit(*words)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert ran.err.rstrip().endswith("are available: use --batch-size 8")
    assert attnaudit(*words[:-4], "--batch-size", 8).code == 0

    monkeypatch.setattr(memory, "available", lambda: 1_000)
    assert "no setting fits" in attnaudit(*words).err
    assert list(tmp_path.iterdir()) == []


def test_memory_grows_with_what_is_fed() -> None:
    """Longer windows, whole patterns, logits of every token and sentences all take more."""
    one = beyond(BUILD, texts=[Fed(8, 512)], sentences=None, tried=False)
    assert beyond(BUILD, texts=[Fed(8, 1024)], sentences=None, tried=False) > one
    assert beyond(BUILD, texts=[Fed(8, 512)], sentences=None, tried=True) > 0
    assert beyond(BUILD, texts=[], sentences=Fed(9_999, 999), tried=False) > one


def test_a_control_group_bounds_what_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit less what is used, where what is used counts no file that can be dropped."""
    group = tmp_path / "service"
    group.mkdir()
    for name, text in {
        "memory.max": "1000",
        "memory.current": "700",
        "memory.stat": "inactive_file 50",
    }.items():
        (group / name).write_text(text)
    (tmp_path / "memory.max").write_text("max")
    own = tmp_path / "own"
    own.write_text("0::/service\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN", own)
    assert memory.available() == 350
    monkeypatch.setattr(memory, "_OWN", tmp_path / "none")
    assert memory.available() > 1_000_000


def test_experiments_are_bounded_by_the_budget_or_by_what_there_is() -> None:
    """None at quick, and none where nothing can be asked."""
    heads = Heads(2, 4)
    assert experiments("quick", texts=[], heads=heads, loss=True, rate=1.0) == []
    assert experiments("full", texts=[], heads=heads, loss=True, rate=1.0) == []
