"""Batches through the queue: accepted by one write, one report when the last job ends, whoever dies meanwhile."""

import json

import msgspec
import pytest

from audit import store as stores
from audit.batch import FOLDER, Batch
from audit.errors import InternalFault
from audit.results import Plan
from workers.batches import Batches
from workers.collector import Collector
from workers.message import Message
from workers.slot import Slot

pytestmark = pytest.mark.redis


def asked(*names):
    return [(name, Message(checkpoint=name, plan=Plan(seed=4))) for name in names]


@pytest.fixture
def batches(ledger):
    """The batches of an empty ledger."""
    return Batches(ledger, namespace="test")


@pytest.fixture
def collector(ledger, settings):
    """A collector of the quick service, called by hand."""
    return Collector(ledger, settings, work=lambda: None)


@pytest.fixture
def work(ledger, settings):
    """Runs what is queued."""
    slot = Slot(ledger, settings, ended=lambda _: None)
    yield slot.work
    slot.close()


def reports(settings):
    folder = settings.store / FOLDER
    return [path for path in folder.iterdir() if stores.exists(folder, path.name)] if folder.exists() else []


def test_a_batch_ends_with_one_report_failures_included(batches, collector, work, settings):
    """Published, refused and poisonous checkpoints: a row each; then nothing is left to do."""
    batch = batches.open("mixed", asked("tiny", "broken", "crash"), pdf=False)
    assert collector.collect() == 0
    work()
    standing = batches.standing(batch)
    assert standing.ended == 3
    assert collector.collect() == 1
    (folder,) = reports(settings)
    done = batches.standing(batch)
    assert (done.report, done.exit_code) == (folder.name, 5)
    record = msgspec.json.decode((folder / "batch.json").read_bytes(), type=Batch)
    assert [(row.checkpoint, row.state) for row in record.rows] == [
        ("crash", "quarantined"),
        ("broken", "failed"),
        ("tiny", "published"),
    ]
    assert "SIGSEGV" in record.rows[0].reason
    assert collector.collect() == 0
    assert batches.unfinished() == []


def test_a_client_that_dies_after_its_one_write_leaves_a_batch_that_is_finished(
    batches, collector, work, settings, ledger
):
    """Not one job was entered by it, or only some; the collector makes the rest, none twice."""
    batch = batches.open("orphan", asked("tiny", "brief"), pdf=False)
    first = batches.jobs(batch)[0]
    ledger.accept(first, asked("tiny")[0][1])  # and here it died
    assert collector.collect() == 0
    assert sorted(job.id for job in ledger.jobs()) == batches.jobs(batch)
    work()
    assert collector.collect() == 1
    assert len(reports(settings)) == 1


def test_two_collectors_publish_one_report(ledger, settings, batches, work):
    """Also where the lock of the first one is lost."""
    batch = batches.open("shared", asked("tiny"), pdf=False)
    batches.enter(batch)
    work()
    first, second = (Collector(ledger, settings, work=lambda: None) for _ in range(2))
    assert batches.may_write(batch)
    assert first.collect() == 0  # somebody else writes
    ledger.redis.delete(f"test:batch:{batch}:writing")
    first._write(batch)
    second._write(batch)
    assert len(reports(settings)) == 1


def test_asking_again_while_it_runs_is_the_same_batch_and_afterwards_a_new_one(
    batches, collector, work, ledger, settings
):
    """The new one makes no audit anew and its report is the one that stands."""
    batch = batches.open("again", asked("tiny"), pdf=False)
    assert batches.open("again", asked("tiny"), pdf=False) == batch
    collector.collect()
    work()
    collector.collect()
    stands = {path: path.stat().st_mtime_ns for path in settings.store.rglob("*") if path.is_file()}
    second = batches.open("again", asked("tiny"), pdf=False)
    assert second != batch
    collector.collect()
    work()
    assert collector.collect() == 1
    assert batches.standing(second).report == batches.standing(batch).report
    assert {path: path.stat().st_mtime_ns for path in settings.store.rglob("*") if path.is_file()} == stands


def test_a_forgotten_job_is_a_row_and_not_made_again(batches, collector, work, ledger, settings):
    """Long after: the batch ends all the same."""
    batch = batches.open("old", asked("broken"), pdf=False)
    batches.enter(batch)
    work()
    ledger.forget(older_than=-1)
    assert collector.collect() == 1
    (folder,) = reports(settings)
    assert "no job" in json.loads((folder / "batch.json").read_text())["rows"][0]["reason"]
    assert ledger.jobs() == ()


def test_a_pdf_that_cannot_be_set_does_not_keep_the_report_back(
    batches, collector, work, settings, monkeypatch
):
    """Whoever waits for it would wait for ever."""

    def broken(*_, **__):
        raise InternalFault("no fonts")

    monkeypatch.setattr("audit.report.batch.set_in_child", broken)
    batch = batches.open("plain", asked("tiny"), pdf=True)
    batches.enter(batch)
    work()
    assert collector.collect() == 1
    (folder,) = reports(settings)
    assert batches.standing(batch).report == folder.name
    assert {path.name for path in folder.glob("report.*")} == {"report.html"}


def test_a_full_queue_takes_the_rest_later(batches, collector, work, ledger):
    """What could not be entered is entered when there is room."""
    batch = batches.open("large", asked("tiny", "brief"), pdf=False)
    with pytest.raises(Exception, match="which is the limit"):
        batches.enter(batch, limit=1)
    assert len(ledger.jobs()) == 1
    assert batches.standing(batch).states == {"queued": 2}
    work()
    assert batches.enter(batch, limit=1) == 1
    work()
    assert collector.collect() == 1
