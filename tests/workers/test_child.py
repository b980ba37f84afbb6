"""The real audit in a child process: forked from a warm parent it says what it says in this process."""

import dataclasses
import os
import shutil
import threading

import msgspec
import pytest

from audit.auditor import audit_checkpoint
from audit.results import Plan
from workers import child
from workers.childprocess import ChildProcess
from workers.message import Message
from workers.settings import child_environment
from workers.slot import Slot
from workers.wire import Events, Granted, Line, Published, Ready, Run, read_some

pytestmark = [pytest.mark.redis, pytest.mark.slow]
PLAN = Plan(depth="quick", samples=4, max_length=32, batch_size=4, confirm=False, threads=1)


def test_the_warm_parent_holds_no_thread(settings):
    """Whatever a library starts at import is switched off, else the process begins anew, cold."""
    child = ChildProcess("workers.child", warm=True, environment=child_environment(settings))
    child.start()
    events = []
    while not events:
        events = child.hear(1.0)
    child.close()
    assert events == [Ready(warm=True)]


def test_an_audit_through_the_queue_is_the_audit_of_this_process(ledger, settings, bert_tiny, tmp_path):
    """The same bytes but for provenance; one that cannot be fails with the library's own line."""
    # Given the real program below a model root
    real = dataclasses.replace(
        settings,
        program="workers.child",
        model_root=bert_tiny.parent,
        memory_limit=8 * 2**30,
        time_limit=300.0,
    )
    ledger.accept("good", Message(checkpoint=bert_tiny.name, plan=PLAN, pdf=False))
    ledger.accept("again", Message(checkpoint=bert_tiny.name, plan=PLAN, pdf=False))
    ledger.accept("bad", Message(checkpoint=bert_tiny.name, plan=dataclasses.replace(PLAN, samples=0)))
    ledger.accept(
        "pickle", Message(checkpoint=bert_tiny.name, plan=dataclasses.replace(PLAN, allow_pickle=True))
    )
    # When a worker goes through it
    slot = Slot(ledger, real, ended=lambda _: None)
    thread = threading.Thread(target=slot.work)
    thread.start()
    thread.join(timeout=300)
    slot.close()
    # Then
    job = ledger.job("good")
    assert (job.state, job.reason) == ("published", None)
    assert ledger.job("again").audit_id == job.audit_id
    audit = audit_checkpoint(bert_tiny, PLAN, store=tmp_path / "here", pdf=False)
    assert job.audit_id == audit.audit_id
    queued, here = (
        msgspec.json.decode((store / audit.audit_id / "audit.json").read_bytes())
        for store in (real.store, tmp_path / "here")
    )
    assert {**queued, "provenance": None} == {**here, "provenance": None}
    assert ledger.job("bad").reason.startswith("--samples 0")
    assert "reads no pickle" in ledger.job("pickle").reason


def test_what_lies_below_the_model_root_may_be_used_and_nothing_else(settings, bert_tiny, tmp_path):
    """Weights linked to below the root, a probe file with its columns mapped; neither from outside."""
    # Given weights that lie elsewhere, below the root and outside
    root = tmp_path / "root"
    for name in ("inside", "outside"):
        shutil.copytree(bert_tiny, root / name)
        weights = root / name / "model.safetensors"
        elsewhere = (root if name == "inside" else tmp_path) / f"{name}.safetensors"
        weights.rename(elsewhere)
        weights.symlink_to(elsewhere)
    # And a probe file in both places
    for folder in (root, tmp_path):
        (folder / "own.csv").write_text(
            "line\n" + "some text of our own to look at that is long enough for a window of it\n" * 4
        )
    (root / "link.csv").symlink_to(tmp_path / "own.csv")
    # When they are audited as a child does it
    said = {
        (name, probe): _performed(settings, root, name, probe)
        for name, probe in [
            ("inside", "own.csv:text=line"),
            ("outside", "prose"),
            ("inside", "link.csv:text=line"),
            ("inside", "gone.csv"),
        ]
    }
    # Then
    assert isinstance(said["inside", "own.csv:text=line"], Published)
    assert "leads out of the checkpoint" in said["outside", "prose"].reason
    assert "link that leads outside" in said["inside", "link.csv:text=line"].reason
    assert "no probe 'gone.csv'" in said["inside", "gone.csv"].reason


def test_a_job_gets_no_more_threads_than_the_operator_gives(monkeypatch):
    """What it asks for beyond is cut; without a word of its own it gets the operator's."""
    asked = [child._plan(_run(threads=threads, given=2), None).threads for threads in (None, 1, 64)]
    assert asked == [2, 1, 2]
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert child._plan(_run(threads=64, given=None), None).threads == 4


def _run(*, threads, given):
    plan = dataclasses.replace(PLAN, threads=threads)
    return Run(label="x.1.", checkpoint="x", root="/", store="/", plan=plan, threads=given)


def _performed(settings, root, name, probe):
    """The last word of a child that audits it."""
    reading, writing = os.pipe()
    answers, answering = os.pipe()
    os.write(answering, msgspec.json.encode(Granted(label="x.1.", granted=True)) + b"\n")
    plan = dataclasses.replace(PLAN, probes=(probe,))
    child.perform(
        Run(label="x.1.", checkpoint=name, root=str(root), store=str(settings.store), plan=plan, pdf=False),
        Line(answers, writing),
    )
    os.close(writing)
    *_, last = Events().feed(read_some(reading))
    for descriptor in (reading, answers, answering):
        os.close(descriptor)
    return last
