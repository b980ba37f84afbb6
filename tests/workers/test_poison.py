"""Poison through the real audit: each kind ends with its reason, and the jobs behind it are done."""

import dataclasses

import pytest

from audit import store as stores
from audit.cli.main import Verbs, execute
from audit.results import Plan
from tests.workers import poison
from workers.cli import VERBS
from workers.message import Message
from workers.slot import Slot

pytestmark = [pytest.mark.redis, pytest.mark.slow]
PLAN = Plan(
    depth="quick",
    samples=4,
    max_length=32,
    batch_size=4,
    confirm=False,
    threads=1,
    metrics=("attention_entropy",),
)


def test_poison_is_quarantined_and_the_jobs_behind_it_are_done(ledger, settings, bert_tiny, tmp_path):
    """Real child processes: one that exhausts memory, one that hangs, one whose interpreter crashes, one that panics."""
    # Given what a sound audit takes here, and a limit of several times that
    root = tmp_path / "real"
    root.mkdir()
    for kind in ("sound", "memory", "hang", "segfault", "panic"):
        poison.make(kind, bert_tiny, root)
    real = dataclasses.replace(
        settings,
        program="tests.workers.poison",
        model_root=root,
        max_attempts=2,
        memory_limit=800 * 2**20,
        time_limit=300.0,
    )
    slot = Slot(ledger, real, ended=lambda _: None)
    accept(ledger, "sound", priority=9)
    slot.work()
    sound = ledger.job("sound-0")
    assert (sound.state, sound.reason) == ("published", None)
    # When poison stands in front of sound jobs
    for number, kind in enumerate(("memory", "hang", "segfault", "panic"), start=1):
        accept(ledger, kind, seed=10, priority=9)
        accept(ledger, "sound", seed=number, priority=0)
    slot._settings = dataclasses.replace(real, time_limit=1 + 3 * sound.seconds)
    while ledger.depth():
        slot.work()
    slot.close()
    # Then each is told apart
    ends = {kind: ledger.job(f"{kind}-10") for kind in ("memory", "hang", "segfault", "panic")}
    assert [job.state for job in ends.values()] == [*["quarantined"] * 3, "failed"]
    assert ends["memory"].reason.count("used more than its 800 MiB of memory") == 2
    assert ends["hang"].reason.count("took more than its") == 2
    assert ends["segfault"].reason.count("killed by signal 11 (SIGSEGV) in stage 'observe") == 2
    assert "the checkpoint's tokenizer cannot encode text" in ends["panic"].reason
    assert ends["panic"].exit_code == 2
    # And what stood behind them is done
    behind = [ledger.job(f"sound-{number}") for number in range(1, 5)]
    assert {job.state for job in behind} == {"published"}
    assert len(stores.entries(real.store)) == 5
    assert not stores.attempts(real.store)


def test_a_panic_of_a_library_is_one_line(bert_tiny, tmp_path, capfd):
    """It is no Exception, and must not become a traceback all the same."""
    folder = poison.make("panic", bert_tiny, tmp_path)
    words = ["run", str(folder), "-o", str(tmp_path / "store"), "--depth", "quick", "--samples", "4"]
    assert execute(Verbs(VERBS), words) == 2
    said = capfd.readouterr().err
    assert "attnaudit: the checkpoint's tokenizer cannot encode text" in said
    assert "Traceback" not in said


def accept(ledger, name, *, seed=0, priority=5):
    plan = dataclasses.replace(PLAN, seed=seed)
    ledger.accept(f"{name}-{seed}", Message(checkpoint=name, plan=plan, pdf=False, priority=priority))
