"""Chaos: a service whose processes are killed at random must end each accepted job once, with at most one report.

`python -m tests.chaos` runs 300 different audits of BERT-tiny and 50 duplicates and prints the table; `--help` lists the rest.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import psutil
from redis.exceptions import RedisError

from audit import store as stores
from audit.errors import MachineFault
from audit.identity import digest_of_file
from audit.results import Plan
from workers.client import Client
from workers.connections import connected
from workers.jobs import Job
from workers.settings import embedded_url

HERE = Path(__file__).parent.parent
VICTIMS = {
    "child": 8,
    "fork server": 1,
    "worker": 3,
    "scheduler": 2,
    "server": 3,
    "connections": 3,
    "serve": 1,
}
ATTEMPTS = 10  # per job; healthy audits are killed here far more often than in life


@dataclass(frozen=True, kw_only=True)
class Chaos:
    """What to do to whom."""

    models: Path
    checkpoint: str
    audits: int = 300
    duplicates: int = 50
    workers: int = 2
    seconds_between_blows: float = 3.0
    most_blows: int = 1_000
    program: str = "workers.child"
    server: str = ""
    seed: int = 0
    plan: Plan = field(
        default_factory=lambda: Plan(depth="quick", samples=4, max_length=32, batch_size=4, confirm=False)
    )
    limit: float = 3_600.0  # seconds


@dataclass(kw_only=True)
class Outcome:
    """What happened."""

    blows: Counter[str]
    jobs: tuple[Job, ...]
    seconds: float
    reports: int
    rerun_seconds: float
    rerun_new_reports: int
    slowest_return: float  # seconds from the blow to a worker until its job ran again, or ended


def run(chaos: Chaos, folder: Path) -> Outcome:
    """The service under chaos in `folder`; AssertionError where a promise was broken."""
    service = _Service(chaos, folder)
    service.start()
    over = threading.Event()
    blows = _Blows(service, random.Random(chaos.seed))
    thread = threading.Thread(target=blows.fall, args=(over, chaos))
    began = time.monotonic()
    try:
        with Client(service.url) as client:
            thread.start()
            seeds = [*range(chaos.audits), *range(chaos.duplicates)]
            ids = [_submitted(client, chaos, seed, f"job-{n}") for n, seed in enumerate(seeds)]
            jobs = _all_final(client, ids, limit=chaos.limit)
            over.set()
            thread.join()
            seconds = time.monotonic() - began
            jobs = _all_final(client, ids, limit=120)
            _check(jobs, seeds, service.store)
            rerun = _rerun(client, chaos, seeds, service.store)
        return Outcome(
            blows=blows.fallen,
            jobs=jobs,
            seconds=seconds,
            reports=len(_reports(service.store)),
            rerun_seconds=rerun[0],
            rerun_new_reports=rerun[1],
            slowest_return=blows.slowest,
        )
    finally:
        over.set()
        service.stop()


class _Service:
    """`attnaudit serve`, which restarts what dies; and is started again itself."""

    def __init__(self, chaos: Chaos, folder: Path) -> None:
        self._chaos, self._folder = chaos, folder
        self.store = folder / "audits"
        self.url = embedded_url(self.store)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["serve", "-o", str(self.store), "--models", str(self._chaos.models)]
        with (self._folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "workers", *words, "--workers", str(self._chaos.workers)],
                cwd=HERE,
                stderr=log,
                stdout=log,
                env={
                    **os.environ,
                    "PYTHONPATH": str(HERE),
                    "OMP_NUM_THREADS": "1",
                    "ATTNAUDIT_THREADS": "1",
                    "ATTNAUDIT_PROGRAM": self._chaos.program,
                    "ATTNAUDIT_SERVER": self._chaos.server,
                    "ATTNAUDIT_MAX_ATTEMPTS": str(ATTEMPTS),
                    "ATTNAUDIT_LEASE": "5",
                    "ATTNAUDIT_HEARTBEAT": "1",
                    "ATTNAUDIT_SWEEP": "1",
                    "ATTNAUDIT_GRACE": "2",
                },
            )
        _until(self._answers, seconds=60, what="the service does not start")

    def _answers(self) -> bool:
        client = connected(self.url, retries=0, timeout=2.0)
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False
        finally:
            client.close()

    def found(self) -> dict[str, list[psutil.Process]]:
        """The service's processes, by what they are."""
        found: dict[str, list[psutil.Process]] = {kind: [] for kind in VICTIMS}
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        found["serve"] = [root]
        for process in root.children(recursive=True):
            try:
                found.setdefault(_kind(process), []).append(process)
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        """Ctrl-C."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)


def _kind(process: psutil.Process) -> str:
    line = process.cmdline()
    if "workers.forkserver" in line:
        parent = process.parent()
        return "child" if parent and "workers.forkserver" in parent.cmdline() else "fork server"
    if "scheduler" in line:
        return "scheduler"
    if "worker" in line:
        return "worker"
    return "server" if any("-server" in word for word in line[:1]) else "other"


class _Blows:
    """Kills something at random moments."""

    def __init__(self, service: _Service, dice: random.Random) -> None:
        self._service, self._dice = service, dice
        self.fallen: Counter[str] = Counter()
        self.slowest = 0.0

    def fall(self, over: threading.Event, chaos: Chaos) -> None:
        while not over.wait(self._dice.expovariate(1 / chaos.seconds_between_blows)):
            if self.fallen.total() >= chaos.most_blows:
                return
            (kind,) = self._dice.choices(list(VICTIMS), weights=list(VICTIMS.values()))
            try:
                self._strike(kind, over)
            except (psutil.Error, RedisError, OSError, MachineFault):
                continue  # it was down already

    def _strike(self, kind: str, over: threading.Event) -> None:
        if kind == "connections":
            client = connected(self._service.url, retries=0, timeout=2.0)
            client.client_kill_filter(_type="normal", skipme=True)
            client.close()
        else:
            victims = self._service.found()[kind]
            if not victims:
                return
            victim = self._dice.choice(victims)
            interrupted = self._running_on(victim) if kind == "worker" else None
            victim.kill()
            if interrupted:
                threading.Thread(target=self._time_return, args=(interrupted, over), daemon=True).start()
        self.fallen[kind] += 1
        if kind == "serve":
            assert self._service.process is not None
            self._service.process.wait()
            self._service.start()

    def _running_on(self, victim: psutil.Process) -> Job | None:
        name = victim.environ().get("ATTNAUDIT_WORKER")
        with Client(self._service.url) as client:
            return next((job for job in client.jobs("running") if job.worker == name), None)

    def _time_return(self, before: Job, over: threading.Event) -> None:
        """How long the job of a killed worker waited for its next attempt."""
        began = time.monotonic()
        with Client(self._service.url) as client:
            while not over.is_set():
                try:
                    job = client.status(before.id)
                except MachineFault:
                    continue
                if job.attempt > before.attempt or job.is_final:
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    return
                time.sleep(0.1)


def _submitted(client: Client, chaos: Chaos, seed: int, job_id: str) -> str:
    """Accepted, however often the service has to be asked: the id makes asking again harmless."""
    plan = replace(chaos.plan, seed=seed)
    while True:
        try:
            return client.submit(chaos.checkpoint, plan, job_id=job_id, priority=seed % 10)
        except MachineFault:
            time.sleep(0.2)


def _all_final(client: Client, ids: list[str], *, limit: float) -> tuple[Job, ...]:
    deadline = time.monotonic() + limit
    done: dict[str, Job] = {}
    while len(done) < len(ids):
        for job_id in ids:
            if job_id in done:
                continue
            try:
                job = client.status(job_id)
            except MachineFault:
                break
            if not job.is_final:
                break
            done[job_id] = job
        else:
            continue
        assert time.monotonic() < deadline, f"{len(ids) - len(done)} jobs are not final after {limit:.0f} s"
        time.sleep(0.3)
    return tuple(done[job_id] for job_id in ids)


def _check(jobs: tuple[Job, ...], seeds: list[int], store: Path) -> None:
    """The promises, from the jobs as a client sees them and from the store."""
    audits: dict[int, set[str]] = {}
    for job, seed in zip(jobs, seeds, strict=True):
        assert job.state in {"published", "quarantined"}, f"{job.id} is {job.state}: {job.reason}"
        assert job.attempt <= ATTEMPTS, f"{job.id} had {job.attempt} attempts"
        assert len(job.deaths) <= job.attempt
        if job.state == "published":
            assert job.audit_id is not None
            audits.setdefault(seed, set()).add(job.audit_id)
    assert all(len(ids) == 1 for ids in audits.values()), "an audit has two ids"
    named = {audit_id for ids in audits.values() for audit_id in ids}
    assert len(named) == len(audits), "two audits share an id"
    reports = _reports(store)
    assert set(reports) == named, f"{len(reports)} reports for {len(named)} published audits"
    for name, digests in reports.items():
        for file, digest in digests.items():
            assert digest_of_file(store / name / file) == digest, f"{name}/{file} is torn"
        stores.read(store / name)
    _until(lambda: not stores.attempts(store), seconds=30, what="folders of attempts are left")


def _rerun(client: Client, chaos: Chaos, seeds: list[int], store: Path) -> tuple[float, int]:
    """The whole once more: everything is shared, nothing is made."""
    before = {path: path.stat().st_mtime_ns for path in store.glob(f"*/{stores.MANIFEST}")}
    began = time.monotonic()
    ids = [_submitted(client, chaos, seed, f"again-{n}") for n, seed in enumerate(seeds)]
    jobs = _all_final(client, ids, limit=chaos.limit)
    seconds = time.monotonic() - began
    assert {job.state for job in jobs} == {"published"}
    assert {job.attempt for job in jobs} == {1}
    after = {path: path.stat().st_mtime_ns for path in store.glob(f"*/{stores.MANIFEST}")}
    assert after == before, "a re-run wrote reports"
    return seconds, len(after) - len(before)


def _reports(store: Path) -> dict[str, dict[str, str]]:
    return {
        path.parent.name: msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        for path in store.glob(f"*/{stores.MANIFEST}")
    }


def _until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def table(chaos: Chaos, outcome: Outcome) -> str:
    """The outcome as README shows it."""
    states = Counter(job.state for job in outcome.jobs)
    attempts = Counter(job.attempt for job in outcome.jobs)
    rows = {
        "jobs accepted": f"{len(outcome.jobs)} ({chaos.audits} different audits, {chaos.duplicates} duplicates)",
        "workers": str(chaos.workers),
        "blows": f"{outcome.blows.total()} ("
        + ", ".join(f"{k} {n}" for k, n in outcome.blows.most_common())
        + ")",
        "jobs published": str(states["published"]),
        "jobs quarantined": str(states["quarantined"]),
        "jobs lost": "0",
        "reports": f"{outcome.reports}, none torn, none double",
        "attempts per job": ", ".join(f"{n}: {count}" for n, count in sorted(attempts.items())),
        "killed worker's job back after": f"{outcome.slowest_return:.1f} s at most",
        "duration": f"{outcome.seconds:.0f} s",
        "run again": f"{outcome.rerun_new_reports} new reports, {outcome.rerun_seconds:.0f} s",
    }
    width = max(map(len, rows))
    return "\n".join(f"| {name:<{width}} | {value} |" for name, value in rows.items())


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audits", type=int, default=300)
    parser.add_argument("--duplicates", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=3.0, help="mean seconds between blows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--redis", action="store_true", help="the system's redis-server instead of Valkey")
    parser.add_argument(
        "--sleeping", action="store_true", help="audits that sleep three seconds instead of real ones"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        chaos = _chaos(given, Path(folder))
        sys.stdout.write(f"{table(chaos, run(chaos, Path(folder)))}\n")


def _chaos(given: argparse.Namespace, folder: Path) -> Chaos:
    (folder / "slow").mkdir()
    return Chaos(
        models=folder if given.sleeping else HERE / ".cache" / "inputs",
        checkpoint="slow" if given.sleeping else "BERT-tiny",
        program="tests.workers.fake_audit" if given.sleeping else "workers.child",
        audits=given.audits,
        duplicates=given.duplicates,
        workers=given.workers,
        seconds_between_blows=given.pause,
        seed=given.seed,
        server=(shutil.which("redis-server") or sys.exit("no redis-server here")) if given.redis else "",
    )


if __name__ == "__main__":
    main()
