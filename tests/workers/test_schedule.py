"""Schedules: each due slot becomes one job, whoever counts and whatever is lost; nothing unfinished is audited."""

import dataclasses
import datetime as dt
import os
import struct
import threading

import msgspec
import pytest

from audit import store as stores
from audit.errors import UnusableInput
from workers.message import Message
from workers.schedule import entries
from workers.schedule.book import Schedules
from workers.schedule.complete import incomplete
from workers.schedule.dated import Record
from workers.schedule.entries import Entry
from workers.schedule.slots import latest, slot_name
from workers.schedule.ticker import Ticker
from workers.slot import Slot

NOON = dt.datetime(2026, 5, 4, 12, 0, 0, tzinfo=dt.UTC)
LONG_AGO = NOON.timestamp() - 86_400


def write_model(folder, *, size=16, shards=1):
    """A checkpoint that is complete and has lain still for a day."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["model.safetensors"] if shards == 1 else [f"model-{n}.safetensors" for n in range(shards)]
    header = msgspec.json.encode({"w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}})
    header += b" " * (-len(header) % 8)
    for name in names:
        (folder / name).write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4 * size)
    if shards > 1:
        index = {"weight_map": {f"w{n}": name for n, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_bytes(msgspec.json.encode(index))
    (folder / "config.json").write_text("{}")
    age(folder)
    return folder


def age(folder, seconds=86_400.0):
    for path in folder.rglob("*"):
        os.utime(path, (NOON.timestamp() - seconds, NOON.timestamp() - seconds))


@pytest.fixture
def root(models):
    """A model root with one finished model."""
    write_model(models / "team" / "one")
    return models


@pytest.fixture
def ticker(ledger, settings):
    """Makes tickers of one service."""
    return lambda: Ticker(ledger, settings)


def apply(ledger, *found, now=LONG_AGO):
    Schedules(ledger.redis, namespace="test").apply(tuple(found), now=now)


def minutely(**changes):
    return dataclasses.replace(Entry(name="minutely", checkpoints=("team/one",), every=60), **changes)


def jobs(ledger):
    return [job.checkpoint for job in ledger.jobs(limit=10_000)]


# --- the file


def read(tmp_path, text):
    path = tmp_path / "schedule.toml"
    path.write_text(text)
    return entries.read(path)


def test_a_file_with_cron_and_interval_is_read(tmp_path):
    """Both kinds, a glob, a policy and a plan."""
    nightly, new = read(
        tmp_path,
        """
        [[schedule]]
        name = "nightly"
        cron = "30 2 * * *"
        timezone = "Europe/Oslo"
        checkpoints = ["team/one"]
        policy = "default"
        plan = { depth = "quick", seed = 3 }

        [[schedule]]
        name = "new-ones"
        every = "5m"
        new = true
        checkpoints = ["runs/*/checkpoint-*"]
        """,
    )
    assert (nightly.cron, nightly.timezone, nightly.priority) == ("30 2 * * *", "Europe/Oslo", 3)
    assert nightly.message("team/one").plan.depth == "quick"
    assert (new.every, new.new, new.checkpoints) == (300, True, ("runs/*/checkpoint-*",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", r"\[\[schedule\]\] tables"),
        ("[[schedule]]\nname = '../x'\nevery = '1h'\ncheckpoints = ['a']", "schedule name"),
        ("[[schedule]]\nname = 'a'\ncheckpoints = ['a']", "either cron or every"),
        (
            "[[schedule]]\nname = 'a'\nevery = '1h'\ncron = '* * * * *'\ncheckpoints = ['a']",
            "either cron or every",
        ),
        ("[[schedule]]\nname = 'a'\ncron = '61 * * * *'\ncheckpoints = ['a']", "no cron line"),
        ("[[schedule]]\nname = 'a'\ncron = '* * * * * *'\ncheckpoints = ['a']", "no cron line of five"),
        ("[[schedule]]\nname = 'a'\nevery = '5s'\ncheckpoints = ['a']", "below 60 s"),
        ("[[schedule]]\nname = 'a'\nevery = 'often'\ncheckpoints = ['a']", "use e.g."),
        ("[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = []", "names no checkpoints"),
        ("[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = ['../a']", "without '..'"),
        (
            "[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = ['a']\npolicy = 'defalt'",
            "did you mean default",
        ),
        (
            "[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = ['a']\nplan = { sed = 1 }",
            "did you mean seed",
        ),
        (
            "[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = ['a']\ntimezone = 'Mars'",
            "unknown timezone",
        ),
        ("[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = ['a']\nevry = 1", "did you mean every"),
        ("[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = ['a']\n" * 2, "twice"),
        (
            "[[schedule]]\nname = 'a'\nevery = '1h'\ncheckpoints = ['a']\nshards = 17",
            "'a': shards 17 is outside",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_one_line(tmp_path, text, reason):
    """Nothing is applied from a file with a mistake."""
    with pytest.raises(UnusableInput, match=reason):
        read(tmp_path, text)


# --- slots


@pytest.mark.parametrize(
    ("when", "now", "slot"),
    [
        ({"every": 3_600}, "2026-05-04T12:00:00", "2026-05-04T12:00:00Z"),
        ({"every": 3_600}, "2026-05-04T12:59:59", "2026-05-04T12:00:00Z"),
        ({"cron": "30 2 * * *"}, "2026-05-04T02:30:00", "2026-05-04T02:30:00Z"),
        ({"cron": "30 2 * * *"}, "2026-05-04T02:29:59", "2026-05-03T02:30:00Z"),
        (
            {"cron": "0 12 * * 1", "timezone": "America/New_York"},
            "2026-05-05T00:00:00",
            "2026-05-04T16:00:00Z",
        ),
    ],
)
def test_the_latest_slot_is_found(when, now, slot):
    """At its very moment it counts."""
    entry = Entry(name="a", checkpoints=("a",), **when)
    assert slot_name(latest(entry, dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC))) == slot


# --- complete


def test_a_finished_checkpoint_is_complete(tmp_path):
    """One file, or shards with their index."""
    assert incomplete(write_model(tmp_path / "a"), now=NOON.timestamp()) is None
    assert incomplete(write_model(tmp_path / "b", shards=3), now=NOON.timestamp()) is None


def test_a_gguf_file_is_complete_once_all_of_it_is_there(smollm2_gguf, tmp_path):
    """A download that stopped for a while has its header and not its tensors."""
    path = tmp_path / "model.gguf"
    path.write_bytes(smollm2_gguf.read_bytes()[:-4096])
    os.utime(path, (1, 1))
    assert incomplete(path) == "the header of 'model.gguf' does not fit its size"
    assert incomplete(smollm2_gguf, now=smollm2_gguf.stat().st_mtime + 60) is None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "model-1.safetensors").unlink(), "which is not there"),
        (lambda f: (f / "x.incomplete").touch(), "still being written"),
        (lambda f: (f / "model-3.safetensors.tmp").touch(), "still being written"),
        (lambda f: os.truncate(f / "model-2.safetensors", 60), "does not fit its size"),
        (lambda f: (f / "model-2.safetensors").write_bytes(b""), "does not fit its size"),
        (lambda f: (f / "model.safetensors.index.json").write_text("{"), "shards it does not tell"),
        (lambda f: [p.unlink() for p in f.glob("*.safetensors")], "no weights yet"),
        (
            lambda f: (f / "pytorch_model.bin.index.json").write_text('{"weight_map": {"w": "a.bin"}}'),
            "names 'a.bin'",
        ),
        (lambda f: (f / "model.gguf").write_bytes(b"GGUF" + bytes(20)), "does not fit its size"),
    ],
    ids=["shard", "incomplete", "tmp", "short", "empty", "index", "weights", "bin", "gguf"],
)
def test_what_is_still_being_written_is_not_complete(tmp_path, spoil, reason):
    """Each way it shows, told."""
    folder = write_model(tmp_path / "a", shards=3)
    spoil(folder)
    age(folder)
    assert reason in incomplete(folder, now=NOON.timestamp())


def test_what_changed_a_moment_ago_is_not_complete(tmp_path):
    """Sixty seconds of stillness."""
    folder = write_model(tmp_path / "a")
    age(folder, seconds=59)
    assert incomplete(folder, now=NOON.timestamp()) == "it changed 59 s ago"
    age(folder, seconds=60)
    assert incomplete(folder, now=NOON.timestamp()) is None


# --- firing


@pytest.mark.redis
def test_two_schedulers_fire_each_slot_of_an_hour_once(ledger, root, ticker):
    """Both tick at once, each second slot after a restart of one of them."""
    # Given a minutely schedule and two tickers
    apply(ledger, minutely())
    # When an hour passes, twenty seconds at a time
    made = []
    tickers = [ticker(), ticker()]
    for second in range(0, 3_600, 20):
        now = NOON + dt.timedelta(seconds=second)
        threads = [
            threading.Thread(target=lambda t, now: made.append(t.tick(now)), args=(t, now)) for t in tickers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if second % 300 == 0:
            tickers[0] = ticker()
    # Then each of the sixty slots is one job
    assert sum(made) == 60
    assert len(jobs(ledger)) == 60


@pytest.mark.redis
def test_a_slot_may_be_shared_by_several_workers(ledger, root, ticker):
    """Its helpers are called once, with it."""
    apply(ledger, minutely(shards=3))
    assert [ticker().tick(NOON), ticker().tick(NOON)] == [1, 0]
    slot, *helpers = sorted(job.id for job in ledger.jobs())
    assert helpers == [f"{slot}-shard-2", f"{slot}-shard-3"]
    assert [ledger.claim("w", lease=10).id for _ in range(3)] == [slot, *helpers]


@pytest.mark.redis
def test_a_lost_redis_gets_its_schedules_back_and_fires_no_slot_again(ledger, root, ticker, tmp_path):
    """The store remembers both; applying the file again changes nothing either."""
    # Given a slot that fired
    apply(ledger, minutely())
    assert ticker().tick(NOON) == 1
    # When Redis loses everything
    ledger.redis.flushall()
    # Then the schedule is in force again and the slot is not fired again, the next one is
    assert ticker().tick(NOON + dt.timedelta(seconds=30)) == 0
    apply(ledger, minutely())
    assert ticker().tick(NOON + dt.timedelta(seconds=40)) == 0
    assert ticker().tick(NOON + dt.timedelta(seconds=60)) == 1


@pytest.mark.redis
def test_applying_one_file_to_an_empty_redis_does_not_end_the_schedules_of_another(ledger, root, ticker):
    """Also where that happened before any scheduler looked; an entry that is new then is the one in force."""
    # Given schedules of two files, in force and in the store
    apply(ledger, minutely(name="one"))
    apply(ledger, minutely(name="two"), minutely(name="three"))
    ticker().tick(NOON)
    # When Redis loses everything and one of them is applied again, with a change
    ledger.redis.flushall()
    apply(ledger, minutely(name="two"), minutely(name="three", every=120), now=NOON.timestamp() + 1)
    assert ticker().tick(NOON + dt.timedelta(seconds=2)) == 0
    # Then all are in force, those without a change since they first were
    known = Schedules(ledger.redis, namespace="test").all()
    assert {name: (found.since, found.content.every) for name, found in known.items()} == {
        "one": (LONG_AGO, 60),
        "two": (LONG_AGO, 60),
        "three": (NOON.timestamp() + 1, 120),
    }
    # And what is removed afterwards stays removed
    Schedules(ledger.redis, namespace="test").remove("one")
    assert ticker().tick(NOON + dt.timedelta(seconds=60)) == 1


@pytest.mark.redis
def test_of_missed_slots_the_latest_fires_late_or_none(ledger, root, ticker):
    """The rule for a time without scheduler."""
    # Given two schedules that ran until noon
    daily = {"cron": "0 * * * *", "every": None}
    apply(ledger, minutely(name="late", **daily), minutely(name="never", missed="skip", **daily))
    assert ticker().tick(NOON) == 2
    # When nobody ticks for five hours and a half
    made = ticker().tick(NOON + dt.timedelta(hours=5, minutes=30))
    # Then one of five missed slots is made up for, by the schedule that asks for it
    assert made == 1
    assert ledger.jobs()[0].requested_by == "schedule late"


@pytest.mark.redis
def test_a_slot_of_before_the_schedule_was_applied_is_not_fired(ledger, root, ticker):
    """A nightly schedule applied at noon waits for the night."""
    apply(ledger, minutely(cron="0 2 * * *", every=None), now=NOON.timestamp())
    assert ticker().tick(NOON + dt.timedelta(seconds=5)) == 0
    assert ticker().tick(NOON + dt.timedelta(hours=14)) == 1


@pytest.mark.redis
def test_a_folder_still_being_written_waits_until_it_is_complete(ledger, root, ticker):
    """It is audited once, after it has lain still; a finished one beside it does not wait."""
    # Given one finished and one growing checkpoint under a glob
    apply(ledger, minutely(checkpoints=("team/*",), new=True))
    growing = write_model(root / "team" / "two", shards=2)
    (growing / "model-1.safetensors").unlink()
    # When the ticker looks
    ticks = ticker()
    assert ticks.tick(NOON) == 1
    assert jobs(ledger) == ["team/one"]
    # And the last shard arrives, half and then whole
    write_model(growing, shards=2)
    os.truncate(growing / "model-1.safetensors", 60)
    assert ticks.tick(NOON + dt.timedelta(seconds=60)) == 0
    write_model(growing, shards=2)
    age(growing, seconds=-100)
    assert ticks.tick(NOON + dt.timedelta(seconds=120)) == 0
    # Then it is audited when it has lain still, and never again
    assert ticks.tick(NOON + dt.timedelta(seconds=180)) == 1
    assert jobs(ledger) == ["team/two", "team/one"]
    assert ticks.tick(NOON + dt.timedelta(seconds=240)) == 0
    assert ticker().tick(NOON + dt.timedelta(seconds=300)) == 0


@pytest.mark.redis
def test_a_new_checkpoint_written_again_is_new_again(ledger, root, ticker):
    """The files decide, not the name."""
    apply(ledger, minutely(checkpoints=("team/*",), new=True))
    assert ticker().tick(NOON) == 1
    write_model(root / "team" / "one", size=32)
    assert ticker().tick(NOON + dt.timedelta(seconds=60)) == 1


@pytest.mark.redis
def test_each_slot_leaves_a_dated_record_that_points_at_its_audit(ledger, root, ticker, settings):
    """An unchanged checkpoint is not audited again; what the schedule asked and got can be read all the same."""
    # Given two slots of the same unchanged checkpoint
    apply(ledger, minutely(checkpoints=("tiny",)))
    write_model(root / "tiny")
    slot = Slot(ledger, settings, ended=lambda _: None)
    for second in (0, 60):
        assert ticker().tick(NOON + dt.timedelta(seconds=second)) == 1
        slot.work()
    # And the same asked by somebody
    ledger.accept("mine", Message(checkpoint="tiny"))
    slot.work()
    slot.close()
    # Then there is one audit, and a record of each slot
    (audit,) = stores.entries(settings.store)
    records = [
        msgspec.json.decode(path.read_bytes(), type=Record) for path in (settings.store / "records").iterdir()
    ]
    assert len({record.job for record in records}) == 2
    assert {record.audit_id for record in records} == {audit.audit.audit_id}
    assert {(record.requested_by, record.checkpoint) for record in records} == {("schedule minutely", "tiny")}
    assert {record.audited for record in records} == {audit.audit.provenance.started}
    assert all(record.date > record.audited for record in records)


@pytest.mark.redis
def test_a_removed_schedule_fires_no_more_and_stays_removed(ledger, root, ticker):
    """Also where the store still had it."""
    apply(ledger, minutely())
    assert ticker().tick(NOON) == 1
    schedules = Schedules(ledger.redis, namespace="test")
    schedules.remove("minutely")
    assert ticker().tick(NOON + dt.timedelta(seconds=60)) == 0
    assert schedules.all() == {}
    with pytest.raises(UnusableInput, match="no schedule 'minutely'"):
        schedules.remove("minutely")


@pytest.mark.redis
def test_applying_an_unchanged_entry_keeps_its_start(ledger):
    """Applying the file at every deployment must not skip slots."""
    apply(ledger, minutely(), now=1.0)
    apply(ledger, minutely(), now=2.0)
    schedules = Schedules(ledger.redis, namespace="test")
    assert schedules.all()["minutely"].since == 1.0
    apply(ledger, minutely(every=120), now=3.0)
    assert schedules.all()["minutely"].since == 3.0
