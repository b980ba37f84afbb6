"""Liveness proves that jobs are consumed; readiness that the ledger answers."""

import dataclasses
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import generate_latest

from audit.errors import MachineFault, UnusableInput
from workers import worker as workers
from workers.attempt import Ended
from workers.message import Message
from workers.watching import http
from workers.watching.http import Health
from workers.watching.metrics import Metrics
from workers.worker import Worker

pytestmark = pytest.mark.redis


def test_an_idle_worker_beside_waiting_work_is_not_alive(settings, ledger, monkeypatch):
    """The deaf worker of Celery's issues: it must be replaced, and says so before it ends itself."""
    # Given a worker that never hears a hint
    killed = []
    monkeypatch.setattr(workers.os, "kill", lambda pid, number: killed.append(number))
    deaf = Worker(settings)
    ledger.accept("a", Message(checkpoint="tiny"))
    # When it sweeps
    deaf.sweeper.sweep()
    assert deaf.live().is_well
    assert not killed
    # And sweeps again much later
    monkeypatch.setattr(workers, "DEAF_AFTER", -1.0)
    deaf.sweeper.sweep()
    # Then
    assert not deaf.live().is_well
    assert killed
    # And it is well again once it hears a hint, though there is nothing it can do, as beside a twin that runs
    monkeypatch.setattr(deaf.slot, "heard", float("inf"))
    monkeypatch.setattr(workers, "DEAF_AFTER", 45.0)
    deaf.sweeper.sweep()
    assert deaf.live().is_well
    # And once the work is gone
    ledger.cancel("a")
    deaf.sweeper.sweep()
    assert deaf.live().is_well


def test_readiness_ends_with_stopping_and_with_the_ledger(settings):
    """So that nobody sends work there."""
    worker = Worker(settings)
    assert worker.ready().is_well
    worker.sweeper.last -= 60
    assert "out of reach" in worker.ready().line
    worker.slot.stopping.set()
    assert worker.ready() == Health(False, "stopping")


def test_the_metrics_tell_the_ledger_and_the_attempts(ledger):
    """Names and types as the dashboard uses them."""
    metrics = Metrics(ledger)
    ledger.accept("a", Message(checkpoint="tiny"))
    metrics.ended(Ended("a", "published", 3.0, 2.9, 2**29))
    text = generate_latest(metrics.registry).decode()
    for line in (
        'attnaudit_jobs{state="queued"} 1.0',
        'attnaudit_attempts_total{outcome="published"} 1.0',
        'attnaudit_attempt_seconds_bucket{le="5.0",outcome="published"} 1.0',
        'attnaudit_attempt_peak_bytes_bucket{le="5.36870912e+08"} 1.0',
        "attnaudit_ledger_up 1.0",
    ):
        assert line in text
    assert "# TYPE attnaudit_oldest_queued_seconds gauge" in text


def test_a_probe_that_fails_is_503_and_other_paths_404(ledger):
    """What an orchestrator looks at."""
    well, ill = Health(True, "fine"), Health(False, "deaf")
    server = http.serve(
        "127.0.0.1:0", registry=Metrics(ledger).registry, live=lambda: ill, ready=lambda: well
    )
    base = f"http://127.0.0.1:{server.server_address[1]}"
    with urlopen(f"{base}/ready") as answer:
        assert answer.read() == b"fine\n"
    for path, code in (("live", 503), ("x", 404)):
        with pytest.raises(HTTPError) as error:
            urlopen(f"{base}/{path}")
        with error.value:
            assert error.value.code == code
    address = base.removeprefix("http://")
    with pytest.raises(MachineFault, match="ATTNAUDIT_HTTP"):
        http.serve(address, registry=Metrics(ledger).registry, live=lambda: ill, ready=lambda: well)
    server.shutdown()
    server.server_close()
    with pytest.raises(UnusableInput, match="not host:port"):
        http.serve("nowhere", registry=Metrics(ledger).registry, live=lambda: ill, ready=lambda: well)


def test_a_worker_counts_its_attempts(settings, ledger):
    """From the slot to the metrics."""
    worker = Worker(dataclasses.replace(settings))
    ledger.accept("a", Message(checkpoint="tiny"))
    assert worker.slot.work() == 1
    worker.slot.close()
    assert (
        'attnaudit_attempts_total{outcome="published"} 1.0'
        in generate_latest(worker.metrics.registry).decode()
    )
