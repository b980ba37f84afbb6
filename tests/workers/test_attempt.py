"""An attempt in a process of its own: however it ends, the ledger says so, and nothing half-made is left."""

import dataclasses
import threading

import psutil
import pytest

from audit import store as stores
from audit.results import Plan
from tests.workers.conftest import until
from workers.message import Message
from workers.slot import Slot

pytestmark = pytest.mark.redis


@pytest.fixture
def seat(ledger, settings):
    """Makes slots, and ends what they started."""
    slots = []

    def make(**changes):
        slots.append(Slot(ledger, dataclasses.replace(settings, **changes), ended=lambda _: None))
        return slots[-1]

    yield make
    for slot in slots:
        slot.close()


def accept(ledger, name, *, seed=0, job=None, **options):
    ledger.accept(job or name, Message(checkpoint=name, plan=Plan(seed=seed), **options))


def audits(settings):
    return (
        {entry.audit.audit_id for entry in stores.entries(settings.store)}
        if settings.store.exists()
        else set()
    )


def leftovers(settings):
    return list(stores.attempts(settings.store))


def test_a_job_is_published_and_its_audit_stands_in_the_store(ledger, settings, seat):
    """The ordinary way."""
    accept(ledger, "tiny")
    assert seat().work() == 1
    job = ledger.job("tiny")
    assert (job.state, job.verdict, job.exit_code, job.attempt) == ("published", "watch", 0, 1)
    assert audits(settings) == {job.audit_id}


def test_the_same_audit_asked_twice_is_one_report(ledger, settings, seat):
    """The second job shares the result of the first."""
    accept(ledger, "tiny", job="first")
    accept(ledger, "tiny", job="second")
    assert seat().work() == 2
    assert ledger.job("first").audit_id == ledger.job("second").audit_id
    assert len(audits(settings)) == 1


def test_an_unusable_checkpoint_fails_at_once_with_its_line(ledger, settings, seat):
    """It would fail again: no second attempt."""
    accept(ledger, "broken")
    seat().work()
    job = ledger.job("broken")
    assert (job.state, job.reason, job.exit_code, job.attempt) == ("failed", "a tensor is missing", 2, 1)
    assert not audits(settings)


def test_an_audit_has_no_network(ledger, settings, seat):
    """Not even this machine's own; it is no matter of the checkpoint."""
    accept(ledger, "network")
    seat().work()
    assert ledger.job("network").reason.startswith("an audit has no network")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("crash", "killed by signal 11 (SIGSEGV) in stage 'observe prose'"),
        ("memory", "used more than its 400 MiB of memory in stage 'observe prose'"),
        ("hang", "took more than its 1.5 s in stage 'observe prose'"),
        ("disk", "no space left in stage 'observe prose'"),
    ],
)
def test_poison_is_quarantined_and_the_job_behind_it_is_done(ledger, settings, seat, name, how):
    """Memory, a hang, a crash of the interpreter: three deaths, each told, and the queue goes on."""
    # Given a poison checkpoint in front of a sound one
    accept(ledger, name, priority=9)
    accept(ledger, "tiny", seed=1, priority=9)
    # When a worker goes through the queue
    seat(time_limit=1.5 if name == "hang" else 20.0).work()
    until(lambda: seat(time_limit=1.5 if name == "hang" else 20.0).work() == 0)
    # Then
    job = ledger.job(name)
    assert job.state == "quarantined"
    assert [death.attempt for death in job.deaths] == [1, 2, 3]
    assert job.reason.count(how) == 3
    assert ledger.job("tiny").state == "published"
    assert not leftovers(settings)


def test_a_running_job_that_is_cancelled_is_killed_and_leaves_nothing(ledger, settings, seat):
    """Cancelling reaches the child process within a few heartbeats."""
    # Given a running audit
    accept(ledger, "hang")
    slot = seat()
    thread = threading.Thread(target=slot.work)
    thread.start()
    until(lambda: ledger.job("hang").stage == "observe prose")
    # When it is cancelled
    ledger.cancel("hang")
    # Then the worker is free again long before the time limit
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert ledger.job("hang").state == "cancelled"
    assert not leftovers(settings)


def test_progress_and_memory_reach_the_ledger(ledger, seat):
    """What `wait` shows."""
    accept(ledger, "slow")
    thread = threading.Thread(target=seat().work)
    thread.start()
    job = until(lambda: (found := ledger.job("slow")).done > 0 and found)
    assert (job.state, job.stage, job.total) == ("running", "observe prose", 30)
    assert until(lambda: ledger.job("slow").peak_bytes) > 2**20
    thread.join()


def test_a_worker_that_stops_gives_its_job_back_after_the_grace(ledger, settings, seat):
    """The attempt does not count; the audit is neither published nor failed."""
    # Given a long audit
    accept(ledger, "hang")
    slot = seat()
    thread = threading.Thread(target=slot.work)
    thread.start()
    until(lambda: ledger.job("hang").stage == "observe prose")
    # When the worker is asked to stop
    slot.stopping.set()
    thread.join(timeout=10)
    # Then
    job = ledger.job("hang")
    assert (job.state, job.attempt, job.deaths) == ("queued", 0, ())
    assert not leftovers(settings)


def test_an_audit_that_ends_within_the_grace_is_published(ledger, seat):
    """Stopping is soft."""
    accept(ledger, "slow")
    slot = seat(grace=10.0)
    thread = threading.Thread(target=slot.work)
    thread.start()
    until(lambda: ledger.job("slow").state == "running")
    slot.stopping.set()
    thread.join(timeout=10)
    assert ledger.job("slow").state == "published"


def test_a_child_killed_after_the_rename_and_before_its_last_word_is_published(ledger, settings, seat):
    """The store is asked before a death is believed."""
    accept(ledger, "unsaid")
    seat().work()
    job = ledger.job("unsaid")
    assert (job.state, job.attempt, job.verdict) == ("published", 1, "watch")
    assert audits(settings) == {job.audit_id}


def test_an_attempt_that_lost_its_job_publishes_nothing(ledger, settings, seat):
    """The compare-and-set right before the rename decides."""
    # Given a running audit whose job is taken away without its worker noticing
    accept(ledger, "slow")
    slot = seat(heartbeat=60.0)
    thread = threading.Thread(target=slot.work)
    thread.start()
    until(lambda: ledger.job("slow").state == "running")
    ledger.redis.hset("test:job:slow", "token", "another attempt's")
    # When it comes to its end
    thread.join(timeout=15)
    # Then there is no report, and the job is still the other attempt's
    assert ledger.job("slow").state == "running"
    assert not audits(settings)
    assert not leftovers(settings)


def test_a_killed_child_is_one_death_and_the_next_attempt_is_warm(ledger, seat):
    """The fork server outlives its children."""
    accept(ledger, "slow")
    slot = seat()
    thread = threading.Thread(target=slot.work)
    thread.start()
    until(lambda: ledger.job("slow").done > 0)
    server = slot._child.pid
    (child,) = psutil.Process(server).children()
    child.kill()
    thread.join(timeout=15)
    job = ledger.job("slow")
    assert (job.state, job.attempt) == ("published", 2)
    assert job.deaths[0].how == "killed by signal 9 (SIGKILL)"
    assert slot._child.pid == server


def test_a_killed_fork_server_takes_its_child_with_it(ledger, seat):
    """No audit runs on unwatched."""
    accept(ledger, "slow")
    slot = seat()
    thread = threading.Thread(target=slot.work)
    thread.start()
    until(lambda: ledger.job("slow").done > 0)
    server = psutil.Process(slot._child.pid)
    (child,) = server.children()
    server.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, seconds=5)
    thread.join(timeout=15)
    assert ledger.job("slow").state == "published"
    assert ledger.job("slow").attempt == 2


def test_a_program_that_cannot_start_costs_no_job_an_attempt(ledger, seat):
    """A broken installation must not run the whole queue into quarantine."""
    accept(ledger, "tiny")
    slot = seat(program="tests.workers.no_such_program")
    assert slot.work() == 0
    assert (ledger.job("tiny").state, ledger.job("tiny").attempt) == ("queued", 0)


@pytest.mark.parametrize("name", ["missing", "outside", "outside/secret"])
def test_a_checkpoint_outside_the_model_root_is_refused(ledger, models, seat, tmp_path, name):
    """Neither a missing name nor a link that ends outside."""
    (tmp_path / "elsewhere" / "secret").mkdir(parents=True)
    (models / "outside").symlink_to(tmp_path / "elsewhere")
    accept(ledger, name)
    seat().work()
    job = ledger.job(name)
    assert (job.state, job.exit_code) == ("failed", 2)
    assert "below the model root" in job.reason or "outside the model root" in job.reason


def test_a_cold_child_does_the_same(ledger, settings, seat):
    """Without the warm path every promise is kept, only slower."""
    accept(ledger, "tiny")
    accept(ledger, "crash")
    seat(warm=False).work()
    assert ledger.job("tiny").state == "published"
    assert ledger.job("crash").state == "quarantined"
