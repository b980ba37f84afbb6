"""The sweeper: what lost its worker goes on, what was published unsaid is said, what nobody owns is removed."""

import dataclasses
import os
import time

import pytest
from redis.exceptions import OutOfMemoryError

from audit import store as stores
from audit.results import Plan
from tests.workers import fake_audit
from tests.workers.conftest import until
from workers.message import Message
from workers.sweeper import Sweeper
from workers.wire import Granted, Run

pytestmark = pytest.mark.redis


@pytest.fixture
def sweeper(ledger, settings):
    """Of a server that has been up for longer than a lease."""
    return Sweeper(ledger, dataclasses.replace(settings, lease=-1.0), waiting=lambda _: None)


class Obliging:
    """A worker's end of the line that grants whatever is asked."""

    def say(self, event):
        pass

    def next_order(self):
        return Granted(label="job.1.", granted=True)


def publish(settings, claim):
    """As the child of `claim` does."""
    run = Run(
        label="job.1.",
        checkpoint="tiny",
        root=str(settings.model_root),
        store=str(settings.store),
        plan=Plan(),
    )
    fake_audit.perform(run, Obliging())
    return fake_audit._audit_id(run)


def abandoned(ledger):
    """A job whose worker vanishes right after its claim."""
    ledger.accept("job", Message(checkpoint="tiny"))
    claim = ledger.claim("w", lease=0.0)
    time.sleep(0.005)
    return claim


def test_a_job_without_worker_is_queued_again(ledger, sweeper):
    """With the death told."""
    abandoned(ledger)
    sweeper.sweep()
    job = ledger.job("job")
    assert job.state == "queued"
    assert job.deaths[0].how == "its worker w was lost"


def test_a_worker_lost_between_the_rename_and_the_ledger_is_healed_without_another_run(
    ledger, settings, sweeper
):
    """The audit stands in the store: the job is published by the attempt that made it."""
    claim = abandoned(ledger)
    audit_id = publish(settings, claim)
    assert ledger.grant(claim, audit_id)
    sweeper.sweep()
    job = ledger.job("job")
    assert (job.state, job.audit_id, job.verdict, job.attempt) == ("published", audit_id, "watch", 1)


def test_a_worker_lost_between_the_ledger_and_the_rename_runs_again(ledger, settings, sweeper):
    """Granted, yet nothing is in the store: the next attempt starts over, and the late one is refused."""
    claim = abandoned(ledger)
    assert ledger.grant(claim, "0" * 16)
    sweeper.sweep()
    assert ledger.job("job").state == "queued"
    again = ledger.claim("w2", lease=30)
    assert not ledger.grant(claim, "0" * 16)
    assert ledger.grant(again, "0" * 16)


def test_after_too_many_lost_workers_the_job_is_quarantined(ledger, settings, sweeper):
    """What takes its whole worker with it is poison as well."""
    abandoned(ledger)
    for _ in range(settings.max_attempts - 1):
        sweeper.sweep()
        ledger.claim("w", lease=0.0)
        time.sleep(0.005)
    sweeper.sweep()
    job = ledger.job("job")
    assert (job.state, job.attempt) == ("quarantined", settings.max_attempts)
    assert job.reason.count("its worker w was lost") == settings.max_attempts


@pytest.mark.parametrize(("uptime", "state"), [(9.0, "running"), (11.0, "queued")])
def test_right_after_a_restart_of_the_server_no_lease_is_taken(ledger, settings, monkeypatch, uptime, state):
    """Workers that live get half a lease to renew what ran out meanwhile; what is lost waits no longer."""
    abandoned(ledger)
    monkeypatch.setattr(ledger, "uptime", lambda: uptime)
    Sweeper(ledger, dataclasses.replace(settings, lease=20.0), waiting=lambda _: None).sweep()
    assert ledger.job("job").state == state


def test_folders_of_attempts_that_are_over_are_removed_and_others_stay(ledger, settings, sweeper):
    """A running attempt's and those of `attnaudit run` beside the service."""
    ledger.accept("job", Message(checkpoint="tiny"))
    ledger.claim("w", lease=60)
    settings.store.mkdir()
    for name in ("job.1.abc", "job.0.abc", "gone.1.abc", "x8k2_abc"):
        (settings.store / f".attempt-{name}").mkdir()
    sweeper.sweep()
    assert sorted(stores.attempts(settings.store).values()) == ["job.1.abc", "x8k2_abc"]


def test_what_was_measured_and_never_taken_up_is_removed_in_time(settings, sweeper):
    """After a day without a change."""
    old, young = (stores.partial(settings.store, name) for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    sweeper.sweep()
    assert stores.partials(settings.store) == [young]


def test_the_depth_is_told_for_those_that_are_idle(ledger, settings):
    """What was accepted and never delivered is hinted at again."""
    told = []
    ledger.accept("job", Message(checkpoint="tiny"))
    Sweeper(ledger, settings, waiting=told.append).sweep()
    assert told == [1]


def test_a_server_that_is_full_does_not_end_the_sweeping(ledger, settings, monkeypatch):
    """Nobody would notice: the worker lives, and what it should look after is lost."""
    looks = []

    def depth():
        looks.append(1)
        if len(looks) == 1:
            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'")
        return 0

    monkeypatch.setattr(ledger, "depth", depth)
    sweeper = Sweeper(ledger, dataclasses.replace(settings, sweep=0.02), waiting=lambda _: None)
    sweeper.start()
    until(lambda: len(looks) > 2)
    sweeper.stop()
