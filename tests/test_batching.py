"""A batch in this process: real checkpoints and one that is none, one report, nothing made twice."""

import msgspec
import pytest

from audit import batching
from audit import store as stores
from audit.batch import Batch
from audit.errors import MachineFault

OPTIONS = ("--depth", "quick", "--samples", "2", "--max-length", "16", "--no-pdf", "--threads", "1")


@pytest.fixture
def manifest(tmp_path, bert_tiny):
    """A checkpoint, the same with another seed, and an empty folder."""
    (tmp_path / "empty").mkdir()
    path = tmp_path / "manifest.csv"
    path.write_text(f"path,seed\nempty,\n{bert_tiny},\n{bert_tiny},1\n")
    return path


def test_one_report_over_all_and_a_second_run_makes_nothing_anew(attnaudit, manifest, tmp_path):
    """The refused one is a row with its reason; exit code 3; the same command again publishes nothing."""
    store = tmp_path / "store"
    ran = attnaudit("batch", manifest, "-o", store, *OPTIONS)
    assert ran.code == 3
    (folder,) = (store / "batches").iterdir()
    assert ran.out == f"{folder / 'report.html'}\n"
    batch = msgspec.json.decode((folder / "batch.json").read_bytes(), type=Batch)
    assert batch.rows[0].checkpoint == "empty"
    assert "holds no checkpoint" in batch.rows[0].reason
    assert "empty: '" in ran.err
    audits = {entry.audit.audit_id for entry in stores.entries(store)}
    assert audits == {row.audit_id for row in batch.rows if row.audit_id}
    assert len(audits) == 2
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    again = attnaudit("batch", manifest, "-o", store, *OPTIONS, "--json")
    assert (again.code, again.out) == (3, (folder / "batch.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }


@pytest.mark.parametrize(
    ("fault", "code"), [(MachineFault("disk full"), 5), (MemoryError(), 5), (ValueError("odd"), 4)]
)
def test_a_fault_is_a_row_and_the_next_checkpoint_is_audited(
    attnaudit, manifest, tmp_path, monkeypatch, fault, code
):
    """One that breaks does not take the others with it."""
    real, broken = batching.audit_checkpoint, []

    def audit_checkpoint(checkpoint, plan, **options):
        if plan.seed == 0 and "empty" not in checkpoint:
            broken.append(checkpoint)
            raise fault
        return real(checkpoint, plan, **options)

    monkeypatch.setattr(batching, "audit_checkpoint", audit_checkpoint)
    ran = attnaudit("batch", manifest, "-o", tmp_path / "store", *OPTIONS, "--json")
    assert ran.code == code
    rows = msgspec.json.decode(ran.out, type=Batch).rows
    assert [row.exit_code for row in rows] == [code, 2, 0]
    assert len(broken) == 1


def test_a_manifest_that_cannot_be_used_is_one_line(attnaudit, tmp_path):
    """Exit code 2 and no store."""
    (tmp_path / "m.csv").write_text("path,smaples\na,1\n")
    ran = attnaudit("batch", tmp_path / "m.csv", "-o", tmp_path / "store")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "did you mean samples" in ran.err
    assert not (tmp_path / "store").exists()


def test_an_interrupted_batch_keeps_what_is_done(attnaudit, manifest, tmp_path, monkeypatch):
    """And says that the same command goes on."""
    real = batching.audit_checkpoint

    def audit_checkpoint(checkpoint, plan, **options):
        if plan.seed == 1:
            raise KeyboardInterrupt
        return real(checkpoint, plan, **options)

    monkeypatch.setattr(batching, "audit_checkpoint", audit_checkpoint)
    ran = attnaudit("batch", manifest, "-o", tmp_path / "store", *OPTIONS)
    assert ran.code == 130
    assert "the same command goes on" in ran.err
    assert len(stores.entries(tmp_path / "store")) == 1
    assert not (tmp_path / "store" / "batches").exists()
