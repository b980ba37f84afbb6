"""One audit shared by several workers: the same bytes, also where one of them is killed."""

import dataclasses
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from audit import store as stores
from audit.auditor import audit_checkpoint
from audit.errors import UnusableInput
from audit.results import Plan
from tests.workers import unhurried
from tests.workers.conftest import Workers, until
from tests.workers.unhurried import STEP
from workers.client import Client
from workers.message import Message

pytestmark = pytest.mark.redis
PLAN = Plan(
    depth="standard",
    probes=("prose", "code", "demographics"),
    samples=24,
    max_length=64,
    batch_size=2,
    # of heads, of layers, of the whole corpus, of some samples, and of passes backward
    metrics=(
        "attention_entropy",
        "block_influence",
        "twin_similarity",
        "input_divergence",
        "attention_rank",
        "query_gradient",
    ),
    threads=1,
)
BATCHES = 24  # of two probes
HELPERS = [f"job-shard-{number}" for number in (2, 3, 4)]


def contents(folder: Path) -> dict[str, object]:
    """Everything published but times and commands: they stand in the provenance, and reports print it."""
    audit = msgspec.json.decode((folder / "audit.json").read_bytes())
    files = {path.relative_to(folder): path for path in folder.rglob("*.*") if path.parent.name == "exhibits"}
    return {
        "audit": {**audit, "provenance": None},
        "table": (folder / "measurements.parquet").read_bytes(),
        **{str(name): path.read_bytes() for name, path in files.items()},
    }


@pytest.fixture(scope="module")
def whole(bert_tiny, tmp_path_factory):
    """What one process publishes."""
    store = tmp_path_factory.mktemp("whole")
    return contents(store / audit_checkpoint(bert_tiny, PLAN, store=store, pdf=False).audit_id)


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """Where real audits, slowed down, note the batches that they observe."""
    monkeypatch.setenv(unhurried.NOTES, str(tmp_path / "notes"))
    monkeypatch.setenv(unhurried.PAUSE, "0.2")
    return tmp_path / "notes"


@pytest.fixture
def pair(settings, bert_tiny, notes, tmp_path):
    """Two workers that make real audits."""
    real = dataclasses.replace(
        settings,
        program="tests.workers.unhurried",
        model_root=bert_tiny.parent,
        memory_limit=8 * 2**30,
        time_limit=600.0,
    )
    workers = Workers(real, tmp_path)
    for _ in range(2):
        workers.start()
    yield workers
    for process in list(workers.running):
        workers.kill(process)


def noted(notes) -> Counter:
    return Counter(line.split()[0] for line in notes.read_text().splitlines())


def observed(notes) -> Counter:
    return Counter({what: count for what, count in noted(notes).items() if not what.startswith(STEP)})


def steps(notes) -> Counter:
    return Counter({what: count for what, count in noted(notes).items() if what.startswith(STEP)})


def processes(notes) -> set[str]:
    return {line.split()[1] for line in notes.read_text().splitlines()}


def submitted(client: Client, bert_tiny) -> str:
    return client.submit(bert_tiny.name, PLAN, pdf=False, shards=4, job_id="job")


@pytest.mark.slow
def test_two_workers_share_an_audit_and_its_bytes_are_the_same(pair, client, bert_tiny, notes, whole):
    """Every batch is observed once, by two processes or more, and nothing is left behind."""
    assert all(found["prose"]["value"] for found in whole["audit"]["measurements"].values())
    job = client.wait(submitted(client, bert_tiny), timeout=300)
    assert (job.state, job.reason) == ("published", None)
    assert contents(pair.settings.store / job.audit_id) == whole
    assert len(processes(notes)) >= 2
    assert observed(notes).total() == len(observed(notes)) == BATCHES
    assert steps(notes).total() == len(steps(notes)) >= len(whole["audit"]["skew"][0]["axes"]) * 2
    assert any(curve["steps"] for curve in whole["audit"]["drop_curves"])
    assert {client.wait(helper, timeout=60).state for helper in HELPERS} == {"helped"}
    assert stores.partials(pair.settings.store) == []


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["job", "job-shard-2"])
def test_a_worker_that_is_killed_half_way_loses_a_piece_at_most(
    pair, client, bert_tiny, notes, whole, killed
):
    """The one that publishes or one that helps: what it had under way is done again, alone."""
    # Given both at work
    submitted(client, bert_tiny)
    until(lambda: all(client.status(job).done > 1 for job in ("job", "job-shard-2")), seconds=120)
    # When one is killed
    number = int(client.status(killed).worker.removeprefix("worker-"))
    pair.kill(pair.running[number - 1])
    # Then the other one finishes, and only what was under way was observed twice
    job = client.wait("job", timeout=300)
    assert (job.state, job.reason) == ("published", None)
    assert contents(pair.settings.store / job.audit_id) == whole
    assert len(observed(notes)) == BATCHES
    assert observed(notes).total() <= BATCHES + 1
    assert steps(notes).total() <= len(steps(notes)) + 1
    assert {client.wait(helper, timeout=60).state for helper in HELPERS} == {"helped"}


def accepted(ledger, *, shards=2):
    ledger.accept("job", Message(checkpoint="tiny"))
    for number in range(2, shards + 1):
        ledger.accept(f"job-shard-{number}", Message(checkpoint="tiny", helps="job"))


def test_those_that_help_run_beside_their_job(ledger):
    """A job's twin waits for it; those that help it do not, and they come after it."""
    accepted(ledger, shards=3)
    ledger.accept("twin", Message(checkpoint="tiny"))
    claims = [ledger.claim("w", lease=10) for _ in range(4)]
    assert [claim and claim.id for claim in claims] == ["job", "job-shard-2", "job-shard-3", None]


@pytest.mark.parametrize(
    ("end", "state", "code"),
    [("published", "helped", 0), ("failed", "cancelled", 5), ("cancelled", "cancelled", 5)],
)
def test_those_that_help_end_with_their_job(ledger, end, state, code):
    """Queued or running, and an attempt under way is told with its next beat."""
    # Given one that helps and runs, one that waits and one that has ended by itself
    accepted(ledger, shards=4)
    claim, running, done = (ledger.claim("w", lease=10) for _ in range(3))
    assert ledger.helped(done, "it helped job job")
    # When the job ends
    match end:
        case "published":
            assert ledger.publish("job", claim.token, audit_id="a", verdict="pass", exit_code=0)
        case "failed":
            assert ledger.fail(claim, "broken", exit_code=2)
        case _:
            ledger.cancel("job")
    # Then
    for helper in ("job-shard-2", "job-shard-4"):
        job = ledger.job(helper)
        assert (job.state, job.exit_code, job.reason) == (state, code, f"job job is {end}")
    assert ledger.renew(running, lease=10, stage="", done=0, total=0, peak=0) in {"lost", "cancelled"}
    assert ledger.job("job-shard-3").reason == "it helped job job"
    assert ledger.figures().totals == dict(Counter([end, "helped", state, state]))


def test_nobody_helps_a_job_that_is_over_or_unknown(ledger):
    """A submission that comes late, or after the ledger was lost, leaves nothing in the queue."""
    accepted(ledger, shards=1)
    ledger.cancel("job")
    for helped in ("job", "gone"):
        with pytest.raises(UnusableInput, match=f"job {helped} is over or unknown"):
            ledger.accept(f"{helped}-2", Message(checkpoint="tiny", helps=helped))
    assert ledger.depth() == 0


def test_cancelling_one_that_helps_leaves_its_job(ledger):
    """It is help, and no more."""
    accepted(ledger)
    ledger.cancel("job-shard-2")
    assert (ledger.job("job").state, ledger.job("job-shard-2").state) == ("queued", "cancelled")


@pytest.mark.parametrize("shards", [0, 17])
def test_shards_beyond_the_limits_are_refused(client, shards):
    """Nothing is submitted."""
    with pytest.raises(UnusableInput, match=r"shards \d+ is outside 1..16"):
        client.submit("tiny", shards=shards)
    assert client.jobs() == ()


def test_that_fewer_share_is_said_and_the_job_is_accepted(settings, client):
    """A queue that is nearly full takes the job first."""
    said = []
    with Client(settings.redis_url, namespace=settings.namespace, queue_limit=2) as narrow:
        narrow.submit("tiny", shards=4, job_id="job", told=said.append)
    assert said == [
        "2 of 4 shares were accepted: 2 jobs are queued already, which is the limit; submit again later"
    ]
    assert sorted(job.id for job in client.jobs()) == ["job", "job-shard-2"]


def test_weights_on_disk_are_read_by_one_worker(client):
    """Each that helped would read all of them again."""
    with pytest.raises(UnusableInput, match="--shards with --max-memory"):
        client.submit("tiny", Plan(max_memory=2**30), shards=2)


def test_run_says_where_shards_are_to_be_had(attnaudit, bert_tiny):
    """One process has nobody to share with."""
    ran = attnaudit("run", bert_tiny, "--shards", 4)
    assert ran.code == 2
    assert "attnaudit submit" in ran.err
