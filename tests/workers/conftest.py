"""A real server for every test that needs one, and a service around it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from workers.client import Client
from workers.connections import connected
from workers.ledger.ledger import Ledger
from workers.serve import valkey
from workers.settings import Settings


class Server:
    """A server process that can be killed and started again on the same data."""

    def __init__(self, folder: Path, program: Path | None = None) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}?db=0"
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        valkey.prepare(self.socket, self.folder / "data")
        line = valkey.command(self.socket, self.folder / "data", program=self._program)
        self._process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        assert valkey.answers(self.url)
        return self

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def lose_everything(self) -> None:
        """As a disk that is gone: the server is new and empty."""
        self.kill()
        for path in sorted((self.folder / "data").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.start()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """One server for all tests that only read and write."""
    with tempfile.TemporaryDirectory(prefix="attnaudit-") as folder:
        server = Server(Path(folder)).start()
        yield server
        server.kill()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, to be killed."""
    with tempfile.TemporaryDirectory(prefix="attnaudit-") as folder:
        server = Server(Path(folder)).start()
        yield server
        server.kill()


@pytest.fixture
def redis(shared_server: Server) -> Iterator[Redis]:
    """A client of an empty server."""
    client = connected(shared_server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    """An empty ledger."""
    return Ledger(redis, namespace="test")


def until(condition, *, seconds: float = 30.0, every: float = 0.02):
    """The first true value of `condition()`; fails the test when it stays false."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"still not true after {seconds} s")
        time.sleep(every)
    return found


PROGRAM = "tests.workers.fake_audit"
HERE = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model root with a checkpoint for each way an audit can go."""
    for name in ("tiny", "brief", "crash", "memory", "hang", "slow", "broken", "disk", "unsaid", "network"):
        (tmp_path / "models" / name).mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def settings(shared_server: Server, redis: Redis, models: Path, tmp_path: Path) -> Settings:
    """Settings of a quick service on the empty shared server; its children run the fake audit."""
    return quick_settings(shared_server.url, models, tmp_path / "store")


def quick_settings(url: str, models: Path, store: Path) -> Settings:
    """Settings whose waits are short."""
    return Settings(
        redis_url=url,
        store=store,
        model_root=models,
        namespace="test",
        memory_limit=400 * 2**20,
        time_limit=20.0,
        lease=3.0,
        heartbeat=0.3,
        sweep=0.5,
        grace=1.0,
        program=PROGRAM,
    )


class Workers:
    """Worker processes of one service, to be killed at will."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self._folder = settings, folder
        self.running: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def start(self) -> subprocess.Popen[bytes]:
        self._started += 1
        log = os.open(self._folder / f"worker-{self._started}.log", os.O_CREAT | os.O_WRONLY)
        settings, names = (
            self.settings,
            ("lease", "heartbeat", "sweep", "grace", "time_limit", "memory_limit"),
        )
        environment = {f"ATTNAUDIT_{name.upper()}": str(getattr(settings, name)) for name in names}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers", "worker"],
            cwd=HERE,
            stderr=log,
            stdout=log,
            env={
                **os.environ,
                **environment,
                "PYTHONPATH": str(HERE),
                "ATTNAUDIT_REDIS_URL": settings.redis_url,
                "ATTNAUDIT_STORE": str(settings.store),
                "ATTNAUDIT_MODEL_ROOT": str(settings.model_root),
                "ATTNAUDIT_PROGRAM": settings.program,
                "ATTNAUDIT_NAMESPACE": settings.namespace,
                "ATTNAUDIT_WORKER": f"worker-{self._started}",
                "ATTNAUDIT_MAX_ATTEMPTS": str(settings.max_attempts),
            },
        )
        os.close(log)
        self.running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.running.remove(process)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("worker-*.log")))


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    """No worker yet; those started are ended with the test."""
    workers = Workers(settings, tmp_path)
    yield workers
    for process in list(workers.running):
        workers.kill(process)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A client of the quick service."""
    with Client(settings.redis_url, namespace=settings.namespace) as client:
        yield client
