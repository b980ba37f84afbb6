"""What the service costs: `python -m tests.service_bench` prints scaling over two workers, seconds added per job, client latency.

Every figure is a ratio or a difference against something measured in the same run.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from audit.results import Plan
from workers.client import Client
from workers.jobs import Job
from workers.serve import valkey

HERE = Path(__file__).parent.parent
PLAN = Plan(depth="quick", samples=4, max_length=32, batch_size=4, confirm=False)
MODELS = HERE / ".cache" / "inputs"


@contextlib.contextmanager
def service(folder: Path, *, workers: int, program: str = "workers.child") -> Iterator[Client]:
    """A server and warm workers of one thread each; the client's first jobs have made them ready."""
    socket, url = folder / "s", f"unix://{folder / 's'}?db=0"
    valkey.prepare(socket, folder / "data")
    processes = [subprocess.Popen(valkey.command(socket, folder / "data"), stdout=subprocess.DEVNULL)]
    try:
        assert valkey.answers(url)
        processes += [_worker(url, folder, number, program) for number in range(workers)]
        with Client(url) as client:
            yield client
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(60)


def _worker(url: str, folder: Path, number: int, program: str) -> subprocess.Popen[bytes]:
    environment = {
        "PYTHONPATH": str(HERE),
        "OMP_NUM_THREADS": "1",
        "ATTNAUDIT_THREADS": "1",
        "ATTNAUDIT_REDIS_URL": url,
        "ATTNAUDIT_STORE": str(folder / "store"),
        "ATTNAUDIT_MODEL_ROOT": str(MODELS),
        "ATTNAUDIT_WORKER": f"worker-{number}",
        "ATTNAUDIT_PROGRAM": program,
        "ATTNAUDIT_GRACE": "1",
    }
    with (folder / f"worker-{number}.log").open("wb") as log:
        command = [sys.executable, "-P", "-m", "workers", "worker"]
        return subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)


def _done(client: Client, seeds: range, *, pdf: bool) -> list[Job]:
    ids = [client.submit("BERT-tiny", dataclasses.replace(PLAN, seed=seed), pdf=pdf) for seed in seeds]
    return [client.wait(job_id) for job_id in ids]


def scaling(jobs: int = 12) -> float:
    """Speed-up of two workers over one, divided by that of two CPU-bound processes over one, in the same run."""
    rates = {}
    for workers in (1, 2):
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            service(Path(folder), workers=workers) as client,
        ):
            _done(client, range(10_000, 10_000 + 2 * workers), pdf=False)
            began = time.monotonic()
            _done(client, range(jobs), pdf=False)
            rates[workers] = jobs / (time.monotonic() - began)
    return (rates[2] / rates[1]) / _machine()


def _machine() -> float:
    """Speed-up of two independent CPU-bound processes over one."""
    times = {}
    for count in (1, 2):
        processes = [multiprocessing.get_context("spawn").Process(target=_burn) for _ in range(count)]
        began = time.monotonic()
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        times[count] = (time.monotonic() - began) / count
    return times[1] / times[2]


def _burn() -> None:
    total = 0
    for number in range(60_000_000):
        total += number


def added(jobs: int = 8) -> float:
    """Seconds that the service adds to an audit when warm: from accepted to published, less the audit's own time."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, service(Path(folder), workers=1) as client:
        _done(client, range(1_000, 1_002), pdf=False)
        extra = []
        for seed in range(jobs):
            (job,) = _done(client, range(seed, seed + 1), pdf=False)
            assert job.ended is not None
            extra.append(job.ended - job.accepted - _own(Path(folder), job))
        return statistics.median(extra)


def _own(folder: Path, job: Job) -> float:
    """What the audit took by its own clock: from its process's first word to its last, as its worker logged it."""
    (line,) = [x for x in (folder / "worker-0.log").read_text().splitlines() if job.id in x and "(own" in x]
    return float(line.rpartition("(own ")[2].split()[0])


def latencies(queued: int = 10_000, calls: int = 50) -> tuple[float, float]:
    """Median seconds of the client's `submit` and `jobs` with that many jobs queued."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, service(Path(folder), workers=0) as client:
        for seed in range(queued):
            client.submit("BERT-tiny", dataclasses.replace(PLAN, seed=seed))
        submit = _median(
            lambda n: client.submit("BERT-tiny", dataclasses.replace(PLAN, seed=queued + n)), calls
        )
        return submit, _median(lambda _: client.jobs(), calls)


def _median(call: Callable[[int], object], calls: int) -> float:
    times = []
    for number in range(calls):
        began = time.monotonic()
        call(number)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def main() -> None:
    """Run all and print."""
    submit, jobs = latencies()
    sys.stdout.write(
        f"client with 10,000 queued jobs: submit {submit * 1e3:.1f} ms, jobs {jobs * 1e3:.1f} ms\n"
    )
    sys.stdout.write(f"the service adds {added():.3f} s per job\n")
    sys.stdout.write(f"two workers reach {scaling():.2f} of two independent processes\n")


if __name__ == "__main__":
    main()
