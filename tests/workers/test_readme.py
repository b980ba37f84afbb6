"""What the README shows of batches and the service is what they take."""

import ast
import re
from pathlib import Path

import pytest

from audit import manifest as manifests
from workers import app
from workers.client import Client
from workers.jobs import Job
from workers.message import parsed
from workers.schedule import entries

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def block(language, begins):
    """The one block of that language which begins so."""
    (found,) = re.findall(rf"```{language}\n({re.escape(begins)}.*?)```", README, re.DOTALL)
    return found


def test_its_schedule_file_is_read(tmp_path):
    """Both kinds of entries."""
    path = tmp_path / "schedule.toml"
    path.write_text(block("toml", "# schedule.toml"))
    nightly, new = entries.read(path)
    assert (nightly.cron, new.new) == ("30 2 * * *", True)


def test_its_manifest_is_read(tmp_path):
    """Options for all and for one."""
    path = tmp_path / "release.toml"
    path.write_text(block("toml", "# release.toml"))
    base, chat = manifests.read(path).items
    assert (base.plan.depth, chat.plan.depth) == ("quick", "standard")


def test_its_message_is_a_job():
    """And goes to the queue and task that workers read."""
    code = block("python", "from celery")
    (message,) = (ast.literal_eval(n.value) for n in ast.parse(code).body if isinstance(n, ast.Assign))
    assert parsed(message).checkpoint == "base"
    assert f'"{app.SUBMIT}"' in code


@pytest.mark.redis
def test_its_client_does_what_it_says(client, workers, models, settings, monkeypatch):
    """The lines as they stand, against a real service."""
    (models / "base").mkdir()
    workers.start()
    monkeypatch.setenv("ATTNAUDIT_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("ATTNAUDIT_NAMESPACE", settings.namespace)
    code = block("python", "from audit import Plan\nfrom workers").replace(
        ".redis_url)", ".redis_url, namespace='test')"
    )
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["job"], Job)
    assert (names["job_id"], names["job"].state) == ("base-7", "published")
    assert isinstance(client, Client)
