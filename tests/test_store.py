"""The store: an audit is there whole or not at all."""

import errno
import os
import threading
from pathlib import Path

import msgspec
import pytest

from audit import store
from audit.errors import MachineFault, UnusableInput
from tests.report.example import example_audit


def published(folder, audit, **options):
    with store.attempt(folder) as attempt:
        store.write_audit(audit, attempt)
        return store.publish(attempt, folder, audit.audit_id, **options)


def test_a_published_audit_reads_back_equal(tmp_path):
    """What was written is what is read; nothing else is left in the store."""
    audit = example_audit()
    published(tmp_path / "store", audit)

    (entry,) = store.entries(tmp_path / "store")
    assert entry.audit == audit
    assert [path.name for path in (tmp_path / "store").iterdir()] == [audit.audit_id]


def test_an_attempt_that_fails_leaves_nothing(tmp_path):
    """Neither a folder nor, where it was made for the attempt, the store."""
    with pytest.raises(RuntimeError), store.attempt(tmp_path / "store") as folder:
        (folder / "half").write_text("made")
        raise RuntimeError
    assert not (tmp_path / "store").exists()


def test_of_two_attempts_one_wins_and_is_whole(tmp_path):
    """Eight threads publish the same audit at once: one folder, its manifest true."""
    audit = example_audit()
    threads = [threading.Thread(target=published, args=(tmp_path, audit)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == [audit.audit_id]
    assert store.read(tmp_path / audit.audit_id) == audit


def test_replacing_leaves_the_new_one_alone(tmp_path):
    """`--force` swaps the audit and sweeps the old one away."""
    audit = example_audit()
    first = published(tmp_path, audit)
    (first / "mark").touch()
    published(tmp_path, audit, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == [audit.audit_id]
    assert not (first / "mark").exists()


def test_what_is_visible_is_on_disk(tmp_path, monkeypatch):
    """Files and folders before the manifest is written, the manifest before the rename, the store after it."""
    # Given an eye on what is put on disk, and on what could be seen then
    events = []
    real = os.fsync

    def fsync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        manifest, visible = (
            bool(list(where)) for where in (tmp_path.glob(".attempt-*/manifest.json"), store_of())
        )
        events.append((path.name.partition("-")[0], manifest, visible))
        real(descriptor)

    def store_of():
        return [path for path in tmp_path.iterdir() if path.name == audit.audit_id]

    monkeypatch.setattr(os, "fsync", fsync)
    audit = example_audit()
    # When an audit with exhibits is published
    with store.attempt(tmp_path) as attempt:
        store.write_audit(audit, attempt)
        (attempt / "exhibits").mkdir()
        (attempt / "exhibits" / "one.png").write_bytes(b"x")
        store.publish(attempt, tmp_path, audit.audit_id)
    # Then
    before = {name for name, manifest, visible in events if not (manifest or visible)}
    assert before == {"audit.json", "exhibits", "one.png", ".attempt", ".manifest.json"}
    assert events[-2:] == [(".attempt", True, False), (tmp_path.name.partition("-")[0], False, True)]


def test_a_folder_without_manifest_is_no_audit(tmp_path):
    """Readers trust nothing but the manifest."""
    audit = example_audit()
    folder = published(tmp_path, audit)
    (folder / store.MANIFEST).unlink()
    assert store.entries(tmp_path) == ()
    with pytest.raises(UnusableInput, match="no published audit"):
        store.read(folder)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data.replace(b'"verdict": "watch"', b'"verdict": "pass"', 1), "was edited"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data.replace(b'"schema_version": "1.0"', b'"schema_version": "9.0"'), "schema"),
    ],
    ids=["edited", "truncated", "another schema"],
)
def test_a_changed_audit_is_noticed(tmp_path, edit, said):
    """An edit, a truncation and a foreign schema are each told apart."""
    folder = published(tmp_path, example_audit())
    path = folder / store.AUDIT
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(UnusableInput, match=said):
        store.read(folder)


def test_find_takes_an_unambiguous_beginning(tmp_path):
    """As with commits: enough letters to be the only one."""
    audit = example_audit()
    published(tmp_path, audit)
    assert store.find(tmp_path, audit.audit_id[:5]).audit == audit
    with pytest.raises(UnusableInput, match="no audit"):
        store.find(tmp_path, "zzz")


def test_a_full_disk_is_one_clear_line(tmp_path):
    """The operating system's reason and what to do."""
    with pytest.raises(MachineFault, match="No space left on device.*-o"), store.faults_of_the_disk(tmp_path):
        raise OSError(errno.ENOSPC, "x")


def test_audit_json_is_canonical(tmp_path):
    """Keys are sorted and no NaN is written, so equal audits are equal bytes."""
    folder = published(tmp_path, example_audit())
    text = (folder / store.AUDIT).read_text("utf-8")
    content = msgspec.json.decode(text)
    assert list(content) == sorted(content)
    assert "NaN" not in text


def test_an_attempt_that_its_fence_refuses_is_never_seen(tmp_path):
    """Asked last, with the audit's id: nothing is published and nothing is left."""
    asked = []
    audit = example_audit()
    refusing = store.Fence("job.1.", lambda audit_id: bool(asked.append(audit_id)))
    with pytest.raises(store.Superseded, match="another attempt"):
        published(tmp_path / "store", audit, fence=refusing)
    assert asked == [audit.audit_id]
    assert not (tmp_path / "store").exists()


def test_an_attempt_can_be_told_by_its_label(tmp_path):
    """So that what a death left can be swept."""
    with store.attempt(tmp_path, "job.1.") as folder:
        ((found, name),) = store.attempts(tmp_path).items()
        assert found == folder
        assert name.startswith("job.1.")
    assert store.attempts(tmp_path) == {}


def test_measurements_are_not_sought_in_an_audit_that_lost_its_file(tmp_path):
    """Someone deleted `audit.json`: it is passed over, and the next run measures again."""
    audit = example_audit()
    folder = published(tmp_path, audit)
    assert store.measured(tmp_path, audit.measurement_id) == folder
    (folder / "audit.json").unlink()
    assert store.measured(tmp_path, audit.measurement_id) is None


def test_a_damaged_audit_does_not_hide_its_neighbours(tmp_path):
    """It is named, and the others are listed."""
    published(tmp_path, example_audit())
    other = tmp_path / "other"
    other.mkdir()
    (other / store.MANIFEST).write_text("{}")
    named: list[str] = []
    assert len(store.entries(tmp_path, damaged=named.append)) == 1
    assert "other" in named[0]


def test_an_attempt_that_died_right_before_its_rename_is_no_audit(tmp_path):
    """It has its manifest already; neither listed, nor found, nor measured from."""
    audit = example_audit()
    with store.attempt(tmp_path) as attempt:
        store.write_audit(audit, attempt)
        store.write_manifest(attempt)
        assert store.entries(tmp_path) == ()
        assert store.measured(tmp_path, audit.measurement_id) is None
        with pytest.raises(UnusableInput, match="no audit"):
            store.find(tmp_path, "")


def test_an_edited_file_is_not_blessed_again(tmp_path):
    """A report may be drawn anew; a table or an exhibit that was changed or lost is refused."""
    folder = published(tmp_path, example_audit())
    store.refuse_edited(folder, spare=())
    (folder / store.MEASUREMENTS).write_bytes(b"planted")
    store.write_manifest(folder)
    (folder / store.MEASUREMENTS).write_bytes(b"planted otherwise")
    with pytest.raises(UnusableInput, match="measurements.parquet"):
        store.refuse_edited(folder, spare=("report.html",))
    store.refuse_edited(folder, spare=(store.MEASUREMENTS,))
