"""An attempt that dies leaves what it measured to the next one, and the numbers are the same to the bit."""

import dataclasses

import msgspec
import pytest

from audit import Plan, audit_checkpoint, partial, pieces, store
from audit.store import Fence

PLAN = Plan(
    depth="standard",
    probes=("prose", "code"),
    samples=8,
    max_length=112,
    batch_size=2,
    confirm=False,
    threads=1,
)
BATCHES = 8  # of two probes
LONG = dataclasses.replace(
    PLAN, probes=("prose",), samples=40, batch_size=1
)  # pieces of two or three batches


class Died(BaseException):
    """As by a signal: nothing may catch it."""


@pytest.fixture
def passes(monkeypatch):
    """Counts batches observed; dies before the one whose number is in `dies_at`."""
    real, counter = pieces.observe, {"seen": 0, "dies_at": None}

    def observe(*given, **named):
        if counter["seen"] == counter["dies_at"]:
            raise Died
        counter["seen"] += 1
        return real(*given, **named)

    monkeypatch.setattr(pieces, "observe", observe)
    monkeypatch.setattr(partial, "_SHARE", 1e9)  # keep after each batch, whatever it costs
    return counter


def attempt(checkpoint, folder, plan=PLAN):
    return audit_checkpoint(checkpoint, plan, store=folder, pdf=False, fence=Fence("job.1.", lambda _: True))


def die(passes, checkpoint, folder, *, at, plan=PLAN):
    passes.update(seen=0, dies_at=at)
    with pytest.raises(Died):
        attempt(checkpoint, folder, plan)
    passes.update(seen=0, dies_at=None)


def contents(folder):
    audit = msgspec.json.decode((folder / "audit.json").read_bytes())
    return {**audit, "provenance": None}, (folder / "measurements.parquet").read_bytes()


@pytest.fixture(scope="module")
def whole(bert_tiny, tmp_path_factory):
    """What an attempt that nothing disturbed publishes."""
    folder = tmp_path_factory.mktemp("whole")
    return contents(folder / attempt(bert_tiny, folder).audit_id)


@pytest.mark.parametrize("at", [3, 6])
def test_the_next_attempt_begins_at_the_first_unfinished_batch(passes, bert_tiny, tmp_path, whole, at):
    """In the first probe and in the second: the same bytes, and nothing is left behind."""
    die(passes, bert_tiny, tmp_path, at=at)
    assert len(store.partials(tmp_path)) == 1
    audit = attempt(bert_tiny, tmp_path)
    assert passes["seen"] == BATCHES - at
    assert contents(tmp_path / audit.audit_id) == whole
    assert store.partials(tmp_path) == []


def test_it_may_die_again_and_again(passes, bert_tiny, tmp_path, whole):
    """Each attempt gets further; a kill between keeping and the next batch loses nothing."""
    for step in (1, 4, 2):
        die(passes, bert_tiny, tmp_path, at=step)
    audit = attempt(bert_tiny, tmp_path)
    assert passes["seen"] == BATCHES - 7
    assert contents(tmp_path / audit.audit_id) == whole


def test_a_piece_is_gone_on_with_where_it_was_left(passes, bert_tiny, tmp_path):
    """Where a piece has several batches, those that were kept are not observed again."""
    die(passes, bert_tiny, tmp_path, at=9, plan=LONG)
    audit = attempt(bert_tiny, tmp_path, LONG)
    assert passes["seen"] == 40 - 9
    whole = attempt(bert_tiny, tmp_path / "whole", LONG)
    assert contents(tmp_path / audit.audit_id) == contents(tmp_path / "whole" / whole.audit_id)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:32] + b"\xff" * 8 + data[40:],
    ],
    ids=["flipped", "torn", "empty", "header"],
)
def test_a_damaged_state_is_as_good_as_none(passes, bert_tiny, tmp_path, whole, spoil):
    """Found by its digest; everything is measured again."""
    die(passes, bert_tiny, tmp_path, at=3)
    (kept,) = store.partials(tmp_path)
    for file in kept.glob("*.part"):
        file.write_bytes(spoil(file.read_bytes()))
    audit = attempt(bert_tiny, tmp_path)
    assert passes["seen"] == BATCHES
    assert contents(tmp_path / audit.audit_id) == whole


def test_the_state_of_another_measurement_is_none(passes, bert_tiny, tmp_path, whole):
    """Neither under its own name nor renamed; nor that of another partition into batches."""
    # Given the state of other seeds and of the same measurement in batches of four
    die(passes, bert_tiny, tmp_path / "a", at=1, plan=dataclasses.replace(PLAN, seed=1))
    die(passes, bert_tiny, tmp_path / "b", at=1, plan=dataclasses.replace(PLAN, batch_size=4))
    die(passes, bert_tiny, tmp_path, at=1)
    (kept,), (foreign,), (other,) = map(store.partials, (tmp_path, tmp_path / "a", tmp_path / "b"))
    (own,), (strange,), (parted,) = (list(folder.glob("*.part")) for folder in (kept, foreign, other))
    assert len({own.name, strange.name, parted.name}) == 3
    # When it lies where this measurement's state should be
    own.write_bytes(strange.read_bytes())
    # Then it is not used
    audit = attempt(bert_tiny, tmp_path)
    assert passes["seen"] == BATCHES
    assert contents(tmp_path / audit.audit_id) == whole


def test_without_a_fence_nothing_is_kept(passes, bert_tiny, tmp_path):
    """`attnaudit run` leaves nothing in the store when it is interrupted."""
    passes.update(seen=0, dies_at=3)
    with pytest.raises(Died):
        audit_checkpoint(bert_tiny, PLAN, store=tmp_path, pdf=False)
    assert list(tmp_path.iterdir()) == []
    passes.update(dies_at=None)
    audit = audit_checkpoint(bert_tiny, PLAN, store=tmp_path, pdf=False)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {audit.audit_id}


def test_what_is_forced_takes_nothing_from_what_is_not(passes, bert_tiny, tmp_path):
    """Whoever forces an audit doubts what is there."""
    die(passes, bert_tiny, tmp_path, at=3)
    audit_checkpoint(
        bert_tiny, PLAN, store=tmp_path, pdf=False, force=True, fence=Fence("job.1.", lambda _: True)
    )
    assert passes["seen"] == BATCHES


def test_keeping_takes_no_more_than_its_share(tmp_path, monkeypatch):
    """After a slow write the next one waits until it is a small part of the time."""
    recorder, clock = _Recorder(), [0.0]
    monkeypatch.setattr(partial.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(partial.Kept, "write", lambda *_: clock.__setitem__(0, clock[0] + 1.0))
    kept = partial.Partial(tmp_path, "a" * 64)
    for done in range(1, 101):
        clock[0] += 1.0
        kept.keep(done, recorder, set())
    assert 4 <= recorder.asked <= 7


class _Recorder:
    """Counts how often it is asked for its state."""

    asked = 0

    def state(self):
        self.asked += 1
        return {}
