"""`attnaudit serve` and the verbs as a user types them, on the real command line."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.conftest import HERE, PROGRAM, until
from workers.client import Client
from workers.serve.notice import served_root
from workers.serve.service import _no_server
from workers.settings import embedded_url, from_environment

pytestmark = pytest.mark.redis


class Shell:
    """A folder to type commands in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ATTNAUDIT_")},
            "PYTHONPATH": str(HERE),
            "ATTNAUDIT_PROGRAM": PROGRAM,
            "ATTNAUDIT_GRACE": "1",
        }
        self.service: subprocess.Popen[bytes] | None = None

    def attnaudit(self, *words, **environment):
        return subprocess.run(
            [sys.executable, "-P", "-m", "workers", *map(str, words)],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def serve(self, *words, **environment):
        with (self.folder / "serve.log").open("ab") as log:
            self.service = subprocess.Popen(
                [sys.executable, "-P", "-m", "workers", "serve", *words],
                cwd=self.folder,
                env={**self.environment, **environment},
                stderr=log,
                stdout=log,
            )
        until(lambda: "ready: jobs" in self.log().rpartition("server runs")[2])

    def client(self):
        return Client(embedded_url(self.folder / "audits"))

    def log(self):
        return (self.folder / "serve.log").read_text()

    def ctrl_c(self):
        self.service.send_signal(signal.SIGINT)
        return self.service.wait(timeout=30)


@pytest.fixture
def shell(models):
    """A shell in the model root, whose service is ended with the test."""
    shell = Shell(models)
    yield shell
    if shell.service and shell.service.poll() is None:
        shell.ctrl_c()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A shell beside a running service with instruments and JSON logs, for tests that leave it running."""
    shell = Shell(tmp_path_factory.mktemp("models"))
    for name in ("tiny", "broken", "hang"):
        (shell.folder / name).mkdir()
    shell.port = 20_000 + os.getpid() % 20_000
    elsewhere = {"ATTNAUDIT_REDIS_URL": "redis://nowhere.invalid/0", "ATTNAUDIT_REDIS_PASSWORD": "x"}
    shell.serve(ATTNAUDIT_HTTP=f"127.0.0.1:{shell.port}", ATTNAUDIT_LOG="json", **elsewhere)
    yield shell
    shell.ctrl_c()


def test_serve_submit_wait_ctrl_c_and_serve_again_loses_nothing(shell):
    """The README's first steps."""
    # Given a service and a finished audit
    shell.serve()
    submitted = shell.attnaudit("submit", "tiny", "--seed", "1")
    assert submitted.returncode == 0
    first = submitted.stdout.strip()
    assert submitted.stdout == f"{first}\n"
    waited = shell.attnaudit("wait", first)
    assert (waited.returncode, waited.stderr.splitlines()[-1]) == (0, f"{first}  published")
    assert f"{first}  published: verdict watch, audits/" in waited.stdout
    # When a long audit runs and another waits, and Ctrl-C ends the service
    with shell.client() as client:
        waiting, long = client.submit("tiny", priority=0), client.submit("slow", priority=9)
    with shell.client() as client:
        until(lambda: client.status(long).state == "running")
    assert shell.ctrl_c() == 0
    assert shell.attnaudit("status", long).returncode == 5
    # Then serving again finishes both, and knows the first
    shell.serve()
    waited = shell.attnaudit("wait", long, waiting, "--json")
    assert waited.returncode == 0
    assert {job["state"] for job in json.loads(waited.stdout)} == {"published"}
    assert json.loads(shell.attnaudit("status", first, "--json").stdout)["state"] == "published"
    assert len(json.loads(shell.attnaudit("jobs", "--json").stdout)) == 3
    assert shell.attnaudit("jobs", "--state", "published").stdout.count("published") == 3


def test_waiting_tells_the_worst_and_cancel_works_while_running(served):
    """Exit codes of the contract."""
    with served.client() as client:
        broken, hang = client.submit("broken"), client.submit("hang")
    assert served.attnaudit("wait", broken).returncode == 2
    assert "a tensor is missing" in served.attnaudit("status", broken).stdout
    with served.client() as client:
        until(lambda: client.status(hang).stage == "observe prose")
    assert "cancelled while running" in served.attnaudit("cancel", hang).stderr
    waited = served.attnaudit("wait", broken, hang)
    assert waited.returncode == 5
    assert "cancelled on request" in waited.stdout


@pytest.mark.slow
def test_real_audits_survive_ctrl_c(bert_tiny, tmp_path):
    """As above with BERT-tiny itself: one is done, one is interrupted, two wait; in the end each is one report."""
    # Given the service as a user starts it
    shell = Shell(tmp_path)
    del shell.environment["ATTNAUDIT_PROGRAM"]
    words = [
        "--depth",
        "quick",
        "--samples",
        "4",
        "--max-length",
        "32",
        "--no-confirm",
        "--no-pdf",
        "--metric",
        "attention_entropy",
    ]
    shell.serve("--models", str(bert_tiny.parent))
    jobs = [
        shell.attnaudit("submit", "BERT-tiny", *words, "--seed", seed).stdout.strip() for seed in range(4)
    ]
    # When Ctrl-C ends it in mid-audit
    with shell.client() as client:
        until(lambda: client.status(jobs[0]).state == "published", seconds=120)
        until(lambda: any(client.status(job).state == "running" for job in jobs), seconds=60)
    assert shell.ctrl_c() == 0
    assert shell.attnaudit("jobs").returncode == 5
    # Then serving again finishes what was begun and what waited
    shell.serve("--models", str(bert_tiny.parent))
    try:
        waited = shell.attnaudit("wait", *jobs)
        assert waited.returncode == 0, waited.stderr
        assert waited.stdout.count("published: verdict") == 4
        assert {job["id"] for job in json.loads(shell.attnaudit("jobs", "--json").stdout)} == set(jobs)
        audits = [audit["audit_id"] for audit in json.loads(shell.attnaudit("list", "--json").stdout)]
        assert sorted(audits) == sorted(
            path.parent.name for path in tmp_path.glob("audits/[!.]*/report.html")
        )
        assert len(audits) == 4
    finally:
        shell.ctrl_c()


def test_a_path_is_named_relative_to_the_service_s_model_root(served):
    """As a user stands: an absolute path, or one seen from another folder."""
    settings = from_environment(store=served.folder / "audits", environment={})
    assert served_root(settings) == served.folder
    done = served.attnaudit("submit", served.folder / "tiny").stdout.strip()
    assert json.loads(served.attnaudit("status", done, "--json").stdout)["checkpoint"] == "tiny"
    outside = served.attnaudit("submit", "/etc")
    assert outside.returncode == 2
    assert "relative to the model root" in outside.stderr


def test_schedules_are_applied_to_the_running_service(served):
    """Apply, list, the job comes, remove."""
    (served.folder / "tiny" / "model.bin").touch()
    os.utime(served.folder / "tiny" / "model.bin", (1, 1))
    text = "[[schedule]]\nname = 'often'\nevery = '60s'\nnew = true\ncheckpoints = ['tiny']\n"
    (served.folder / "schedule.toml").write_text(text)
    assert served.attnaudit("schedule", "apply", "schedule.toml").returncode == 0
    assert list(json.loads(served.attnaudit("schedule", "list", "--json").stdout)) == ["often"]
    assert "often" in served.attnaudit("schedule", "list").stdout
    with served.client() as client:
        until(lambda: "schedule often" in {job.requested_by for job in client.jobs()})
    assert served.attnaudit("schedule", "remove", "often").returncode == 0
    assert served.attnaudit("schedule", "remove", "often").returncode == 2


def test_a_second_serve_on_the_same_store_is_refused(served):
    """One line, exit code 5."""
    second = served.attnaudit("serve")
    assert second.returncode == 5
    assert "another `attnaudit serve` uses the store" in second.stderr


def test_a_killed_serve_takes_everything_with_it_and_the_next_one_goes_on(shell):
    """SIGKILL to the supervisor: no orphan keeps the store."""
    shell.serve()
    with shell.client() as client:
        job = client.submit("slow")
    shell.service.kill()
    shell.service.wait()
    shell.serve()
    assert shell.attnaudit("wait", job).returncode == 0


def test_a_server_of_before_that_is_still_ending_is_waited_for(tmp_path):
    """It would take the new one's socket away with its own."""
    with _no_server(tmp_path) as lock:
        server = subprocess.Popen(["sleep", "0.5"], pass_fds=(lock,))
    with _no_server(tmp_path):
        assert server.poll() == 0


def test_without_a_service_a_verb_says_how_to_start_one(shell):
    """One line, exit code 5, no traceback."""
    for words in (
        ("submit", "tiny"),
        ("wait", "x"),
        ("schedule", "list"),
    ):
        said = shell.attnaudit(*words)
        assert said.returncode == 5
        assert "start it with `attnaudit serve`" in said.stderr
        assert said.stderr.count("\n") == 1


def test_instruments_answer_and_logs_are_json(served):
    """/metrics, /live, /ready of the scheduler, those of each worker one port further; each log line an object."""
    from urllib.request import urlopen

    served.attnaudit("wait", served.attnaudit("submit", "tiny").stdout.strip())
    with urlopen(f"http://127.0.0.1:{served.port}/metrics") as answer:
        text = answer.read().decode()
    assert re.search(r'attnaudit_jobs\{state="published"\} [1-9]', text)
    assert "attnaudit_oldest_queued_seconds 0.0" in text
    assert "attnaudit_ledger_up 1.0" in text
    with urlopen(f"http://127.0.0.1:{served.port}/live") as answer:
        assert answer.status == 200
    with urlopen(f"http://127.0.0.1:{served.port + 1}/metrics") as answer:
        text = answer.read().decode()
    assert re.search(r'attnaudit_attempts_total\{outcome="published"\} [1-9]', text)
    assert re.search(r"process_resident_memory_bytes [1-9]", text)
    lines = [json.loads(line) for line in served.log().splitlines() if line.startswith("{")]
    assert any(line.get("outcome") == "published" and line["seconds"] > 0 for line in lines)


def test_every_line_of_a_json_log_is_an_object_to_the_last(shell):
    """Also what is said when it ends."""
    shell.serve(ATTNAUDIT_LOG="json")
    shell.ctrl_c()
    lines = [json.loads(line) for line in shell.log().splitlines()]
    assert any(line["message"].startswith("stopping") for line in lines)
    assert lines[-1]["message"] == "server ended"


def test_looking_at_the_queue_is_quick_and_imports_no_torch(shell):
    """`status` must not cost what an audit costs."""
    code = (
        "import sys; from audit.cli.main import execute, Verbs; from workers.cli import VERBS; "
        "execute(Verbs(VERBS), ['jobs']); execute(Verbs(VERBS), ['submit', 'tiny']); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=shell.folder, env=shell.environment, timeout=60
    )
    assert ran.returncode == 0


def test_a_batch_through_the_queue_outlives_the_command_that_asked_for_it(served):
    """Killed while it waits; asked again it finds the batch under way, and one report comes."""
    # Given a batch whose client is killed while one of its audits hangs
    (served.folder / "manifest.csv").write_text("path,seed\nhang,5\ntiny,5\nbroken,5\n")
    words = [sys.executable, "-P", "-m", "workers", "batch", "manifest.csv", "--queue", "--no-pdf"]
    how = {"cwd": served.folder, "env": served.environment, "text": True}
    first = subprocess.Popen(words, **how, stderr=subprocess.PIPE)
    said = first.stderr.readline()
    first.kill()
    first.communicate()
    # When it is asked again, and what hangs is cancelled
    again = subprocess.Popen([*words, "--json"], **how, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert again.stderr.readline() == said
    with served.client() as client:
        client.cancel(f"batch-{said.split()[1]}-1")
    out, _ = again.communicate(timeout=60)
    # Then it was the same batch, with one report
    assert again.returncode == 5
    rows = [(row["checkpoint"], row["state"]) for row in json.loads(out)["rows"]]
    assert rows == [("hang", "cancelled"), ("broken", "failed"), ("tiny", "published")]
    assert len(list((served.folder / "audits" / "batches").glob("*/report.html"))) == 1
