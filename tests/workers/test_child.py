"""The real audit in a child process: forked from a warm parent it says what it says in this process."""

import dataclasses
import threading

import msgspec
import pytest

from audit.auditor import audit_checkpoint
from audit.results import Plan
from workers.childprocess import ChildProcess
from workers.message import Message
from workers.settings import child_environment
from workers.slot import Slot
from workers.wire import Ready

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
