"""The short form of `make chaos`: real audits, real processes, real kills."""

from pathlib import Path

import pytest

from audit import store as stores
from tests.chaos import promises
from tests.chaos.__main__ import QUICK
from tests.chaos.plan import Chaos
from tests.chaos.run import run
from tests.report.example import example_audit

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_whatever_is_killed_each_job_ends_once_and_has_one_report(bert_tiny: Path, tmp_path: Path) -> None:
    """Children, workers, schedulers, server and `serve` itself are killed, connections cut; asking again is idle."""
    chaos = Chaos(
        models=bert_tiny.parent,
        checkpoint=bert_tiny.name,
        audits=10,
        duplicates=3,
        settings=QUICK,
        pause=1.0,
        most_blows=10,
        every=10,
        limit=240.0,
    )
    outcome = run(chaos, tmp_path)
    assert outcome.blows.total() >= 4
    assert outcome.rerun_new_reports == 0


def test_the_promises_can_be_broken(tmp_path: Path) -> None:
    """A file cut short, another one lost, a manifest without a report: each is seen."""
    with stores.attempt(tmp_path) as attempt:
        stores.write_audit(example_audit(), attempt)
        (attempt / stores.MEASUREMENTS).write_bytes(b"a table")
        (attempt / "report.html").write_text("<html>half")
        folder = stores.publish(attempt, tmp_path, "a")
    assert promises.damage(folder) == ["a/report.html ends too early"]
    (folder / "report.html").write_text("<html></html>")
    assert promises.damage(folder) == ["a/report.html is torn"]
    stores.write_manifest(folder)
    assert promises.damage(folder) == []
    (folder / stores.MEASUREMENTS).unlink()
    assert promises.damage(folder) == ["a/measurements.parquet is torn"]
    stores.write_manifest(folder)
    assert promises.damage(folder) == ["a holds no measurements.parquet"]
    # a report that is replaced after somebody has read it
    reader = promises.Reader(tmp_path)
    reader.look()
    reader.torn.clear()
    folder.rename(tmp_path / "b")
    (tmp_path / "b" / stores.MANIFEST).unlink()
    folder.mkdir()
    stores.write_manifest(folder)
    reader.look()
    assert reader.torn == ["a was replaced"]
