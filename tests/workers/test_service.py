"""Worker processes on a real server: messages in, exactly one report out, whatever dies."""

import bz2
import signal
import time

import psutil
import pytest
from celery import Celery
from kombu import compression

from audit import store as stores
from audit.results import Plan
from tests.workers.conftest import Workers, quick_settings, until
from workers.client import Client
from workers.connections import for_celery

pytestmark = pytest.mark.redis


def audits(settings):
    return sorted(entry.audit.audit_id for entry in stores.entries(settings.store))


def test_any_celery_client_can_send_the_documented_message(settings, workers, client):
    """A bare Celery application, the task's name and JSON: its task id is the job's id."""
    # Given a worker and a Celery client that knows nothing of this package
    workers.start()
    foreign = Celery(broker=for_celery(settings.redis_url), set_as_current=False)
    # When it sends the message, positionally or by name
    content = {"schema": 1, "checkpoint": "tiny", "plan": {"seed": 7}, "requested_by": "ci", "priority": 3}
    first = foreign.send_task("attnaudit.submit", args=[content], queue="test").id
    second = foreign.send_task("attnaudit.submit", kwargs={"message": content}, queue="test").id
    # Then both are jobs and are done
    until(lambda: {job.id for job in client.jobs()} == {first, second})
    assert client.wait(first, timeout=30).state == "published"
    assert client.wait(second, timeout=30).audit_id == client.status(first).audit_id
    assert client.status(first).requested_by == "ci"


def test_bad_messages_are_failed_jobs_and_the_next_one_is_done(settings, workers, client):
    """Each is told why, nothing else happens, and the worker goes on."""
    # Given a worker and messages that cannot be jobs
    workers.start()
    foreign = Celery(broker=for_celery(settings.redis_url), set_as_current=False)
    bad = {
        "without '..'": {"schema": 1, "checkpoint": "../secret"},
        "unknown key": {"schema": 1, "checkpoint": "tiny", "run": "rm"},
        "at most": {"schema": 1, "checkpoint": "tiny", "requested_by": "x" * 100_000},
        "a JSON object": "tiny",
    }
    # When they are sent, and a task of another name
    sent = {foreign.send_task("attnaudit.submit", args=[m], queue="test").id: why for why, m in bad.items()}
    sent[foreign.send_task("os.system", args=["rm"], queue="test").id] = "task 'os.system' is unknown"
    sent[foreign.send_task("attnaudit.submit", args=[1, 2], queue="test").id] = "takes one argument"
    # And one whose id would lead out of the store
    good = {"schema": 1, "checkpoint": "tiny"}
    foreign.send_task("attnaudit.submit", args=[good], queue="test", task_id="../../escaped")
    # Then
    until(lambda: len(client.jobs()) == len(sent))
    for job_id, why in sent.items():
        job = client.status(job_id)
        assert (job.state, job.exit_code) == ("failed", 2)
        assert why in job.reason
    assert client.wait(client.submit("tiny"), timeout=30).state == "published"
    assert len(client.jobs()) == len(sent) + 1


def test_pickle_is_never_read(settings, workers, client):
    """A message that is not JSON is dropped unread, and the worker goes on."""
    workers.start()
    foreign = Celery(broker=for_celery(settings.redis_url), set_as_current=False)
    foreign.send_task("attnaudit.submit", args=[{"schema": 1}], queue="test", serializer="pickle")
    assert client.wait(client.submit("tiny"), timeout=30).state == "published"
    assert {job.state for job in client.jobs()} == {"published", "failed"}


def test_a_compressed_message_is_refused_unread(settings, workers, client, monkeypatch):
    """Some hundred bytes that would become a gigabyte."""
    # another test of this process may have had our intake take the codecs away: the sender is somebody else
    monkeypatch.setitem(compression._encoders, "application/x-bz2", bz2.compress)
    workers.start()
    foreign = Celery(broker=for_celery(settings.redis_url), set_as_current=False)
    bomb = {"schema": 1, "checkpoint": "tiny", "requested_by": "x" * 2**26}
    sent = foreign.send_task("attnaudit.submit", args=[bomb], queue="test", compression="bzip2").id
    refused = until(lambda: next(iter(client.jobs()), None))
    assert (refused.id, refused.state) == (sent, "failed")
    assert "compressed messages are not read" in refused.reason
    assert client.wait(client.submit("tiny"), timeout=30).state == "published"


def test_a_killed_worker_s_job_runs_again_and_its_children_are_gone(settings, workers, client):
    """SIGKILL in mid-audit: the lease runs out, another worker takes over, one report."""
    # Given an audit under way
    worker = workers.start()
    job = client.submit("slow")
    until(lambda: client.status(job).done > 0)
    family = psutil.Process(worker.pid).children(recursive=True)
    assert len(family) == 2
    # When its worker is killed and another one stands by
    workers.kill(worker)
    killed = time.monotonic()
    workers.start()
    # Then its children end with it, and the job runs again soon
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family), seconds=5)
    until(lambda: client.status(job).attempt == 2)
    assert time.monotonic() - killed < 60
    done = client.wait(job, timeout=30)
    assert done.state == "published"
    assert "was lost" in done.deaths[0].how
    assert audits(settings) == [done.audit_id]
    until(lambda: not stores.attempts(settings.store))


def test_a_worker_that_is_asked_to_end_does_so_and_gives_its_job_back(workers, client):
    """SIGTERM: exit code 0 after the grace, the job queued, the attempt not counted."""
    worker = workers.start()
    job = client.submit("hang")
    until(lambda: client.status(job).stage == "observe prose")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    assert (client.status(job).state, client.status(job).attempt) == ("queued", 0)


def test_two_workers_share_the_queue(settings, workers, client):
    """Sixty jobs of which ten are twins: fifty reports, each job published once."""
    for _ in range(2):
        workers.start()
    jobs = [client.submit("tiny", Plan(seed=seed)) for seed in [*range(50), *range(10)]]
    done = [client.wait(job, timeout=60) for job in jobs]
    assert {job.state for job in done} == {"published"}
    assert audits(settings) == sorted({job.audit_id for job in done})
    assert len(audits(settings)) == 50
    assert {job.worker for job in done} == {"worker-1", "worker-2"}
    assert client.ledger.figures().totals == {"published": 60}


def test_the_server_is_killed_and_consuming_goes_on(server, models, tmp_path):
    """Jobs queued and running survive; the worker, never restarted, goes on within 60 s."""
    # Given a worker with an audit under way and others queued
    settings = quick_settings(server.url, models, tmp_path / "store")
    workers, client = Workers(settings, tmp_path), Client(server.url, namespace="test")
    workers.start()
    jobs = [client.submit("slow"), *(client.submit("tiny", Plan(seed=seed)) for seed in range(5))]
    until(lambda: client.status(jobs[0]).done > 0)
    # When the server is killed and started again
    server.kill()
    time.sleep(1)
    server.start()
    back = time.monotonic()
    # Then everything is done, and nothing ran twice
    done = [client.wait(job, timeout=60) for job in jobs]
    assert {job.state for job in done} == {"published"}
    assert {job.attempt for job in done} == {1}
    # And a job of after the restart is consumed
    assert client.wait(client.submit("tiny", Plan(seed=99)), timeout=60).state == "published"
    assert time.monotonic() - back < 60
    for process in list(workers.running):
        workers.kill(process)


def test_cut_connections_are_mended(settings, workers, client):
    """Every connection is cut while jobs run; all are done, none twice."""
    workers.start()
    jobs = [client.submit("tiny", Plan(seed=seed)) for seed in range(30)]
    for _ in range(5):
        client.ledger.redis.client_kill_filter(_type="normal", skipme=True)
        time.sleep(0.2)
    done = [client.wait(job, timeout=60) for job in jobs]
    assert {job.state for job in done} == {"published"}
    assert len(audits(settings)) == 30


def test_a_lost_ledger_is_told_and_submitting_again_shares_what_was_published(server, models, tmp_path):
    """The store is what stays: the same audit is not made again."""
    settings = quick_settings(server.url, models, tmp_path / "store")
    workers, client = Workers(settings, tmp_path), Client(server.url, namespace="test")
    workers.start()
    first = client.wait(client.submit("tiny"), timeout=30)
    server.lose_everything()
    again = client.wait(client.submit("tiny"), timeout=60)
    assert again.audit_id == first.audit_id
    assert audits(settings) == [first.audit_id]
    for process in list(workers.running):
        workers.kill(process)
