"""The short form of `make chaos`: quick audits, real processes, real kills."""

from pathlib import Path

import pytest

from tests import chaos

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_whatever_is_killed_each_job_ends_once_and_has_one_report(models: Path, tmp_path: Path) -> None:
    """Children, workers, scheduler, server and `serve` itself are killed, connections cut; a re-run is idle."""
    plan = chaos.Chaos(
        models=models,
        checkpoint="brief",
        audits=100,
        duplicates=20,
        seconds_between_blows=0.7,
        most_blows=20,
        program="tests.workers.fake_audit",
        limit=240.0,
    )
    outcome = chaos.run(plan, tmp_path)
    assert outcome.blows.total() >= 8
    assert outcome.reports == 100
    assert outcome.rerun_new_reports == 0
