"""The service's settings; the only place where the environment is read."""

import hashlib
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlsplit

import psutil

from audit.errors import UnusableInput
from audit.models.allocator import ENVIRONMENT

SERVICE_FOLDER: Final = ".service"  # below the store: socket, append-only file, fired slots
_UNITS: Final = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SHARE: Final = 0.8  # of the machine's memory, where no limit is set
_CHILD: Final[Mapping[str, str]] = MappingProxyType(
    {
        # these two start threads when they are imported, and a process that is forked from must hold none
        "OPENBLAS_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
)
_LONGEST_SOCKET: Final = 103  # bytes, macOS; Linux takes 107
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator decides; times in seconds, sizes in bytes."""

    redis_url: str
    store: Path
    model_root: Path | None = None
    namespace: str = "attnaudit"
    worker: str = "worker"
    time_limit: float = 3_600.0  # of one attempt
    memory_limit: int = 0
    max_attempts: int = 3
    lease: float = 20.0  # an attempt whose worker is silent that long is given to another
    heartbeat: float = 4.0
    sweep: float = 5.0
    grace: float = 20.0  # what a running audit gets when the worker is asked to stop
    retention: float = 30 * 86_400.0  # of jobs in a final state
    queue_limit: int = 1_000_000
    threads: int | None = None
    warm: bool = True
    allow_pickle: bool = False
    log_format: str = "plain"
    http: str = ""  # host:port of /metrics, /live and /ready; empty = none
    program: str = "workers.child"  # module that child processes run
    server: str = ""  # program of the embedded server; empty = the wheel's

    @property
    def service_folder(self) -> Path:
        """Where the service keeps what must outlive Redis."""
        return self.store / SERVICE_FOLDER


def from_environment(*, store: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in the ATTNAUDIT_* variables; `store` goes before ATTNAUDIT_STORE."""
    given = _Given(os.environ if environment is None else environment)  # noqa: TID251 - the one place
    folder = store or Path(given.text("STORE", "audits"))
    root = given.text("MODEL_ROOT", "")
    url = given.secret("REDIS_URL")
    return Settings(
        redis_url=_with_password(url, given.secret("REDIS_PASSWORD")) if url else embedded_url(folder),
        store=folder,
        model_root=Path(root) if root else None,
        namespace=given.text("NAMESPACE", "attnaudit"),
        worker=given.text("WORKER", f"{socket.gethostname()}-{os.getpid()}"),
        time_limit=given.number("TIME_LIMIT", 3_600.0),
        memory_limit=given.size("MEMORY_LIMIT", _default_memory()),
        max_attempts=int(given.number("MAX_ATTEMPTS", 3)),
        lease=given.number("LEASE", 20.0),
        heartbeat=given.number("HEARTBEAT", 4.0),
        sweep=given.number("SWEEP", 5.0),
        grace=given.number("GRACE", 20.0),
        retention=given.number("RETENTION", 30 * 86_400.0),
        threads=int(given.number("THREADS", 0)) or None,
        warm=given.flag("WARM", default=True),
        allow_pickle=given.flag("ALLOW_PICKLE", default=False),
        log_format=given.choice("LOG", "plain", ("plain", "json")),
        http=given.text("HTTP", ""),
        program=given.text("PROGRAM", "workers.child"),
        server=given.text("SERVER", ""),
    )


def embedded_url(store: Path) -> str:
    """Where `attnaudit serve` listens for this store."""
    return f"unix://{quote(str(socket_path(store)))}?db=0"


def _with_password(url: str, password: str) -> str:
    """The URL with the password in its place, so that a URL can stand in plain sight and its secret in a file."""
    place = urlsplit(url).netloc
    user, _, host = place.rpartition("@")
    if not password:
        return url
    if ":" in user:
        raise UnusableInput(
            "ATTNAUDIT_REDIS_URL holds a password and ATTNAUDIT_REDIS_PASSWORD is set; keep one of the two"
        )
    return url.replace(f"://{place}", f"://{user}:{quote(password, safe='')}@{host}", 1)


def socket_path(store: Path) -> Path:
    """The embedded server's socket; outside the store where its path would be too long for the system."""
    path = (store / SERVICE_FOLDER / "valkey.sock").absolute()
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    short = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"attnaudit-{os.getuid()}-{short}" / "valkey.sock"


def child_environment(settings: Settings) -> dict[str, str]:
    """What a child process may see of the environment: nothing of the queue, no hub, few threads at import."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ATTNAUDIT_")}  # noqa: TID251
    threads = str(settings.threads) if settings.threads else kept.get("OMP_NUM_THREADS")
    return {**ENVIRONMENT, **kept, **_CHILD, **({"OMP_NUM_THREADS": threads} if threads else {})}


def service_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with the settings of a process it starts."""
    return {**os.environ, **settings}  # noqa: TID251


@dataclass(frozen=True, slots=True)
class _Given:
    environment: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.environment.get(f"ATTNAUDIT_{name}", "").strip() or default

    def secret(self, name: str) -> str:
        """The variable, or the content of the file that NAME_FILE names: container secrets are files."""
        file = self.text(f"{name}_FILE", "")
        try:
            return Path(file).read_text("utf-8").strip() if file else self.text(name, "")
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableInput(f"ATTNAUDIT_{name}_FILE={file!r} cannot be read: {error}") from None

    def number(self, name: str, default: float) -> float:
        value = self.text(name, str(default))
        try:
            return float(value)
        except ValueError:
            raise UnusableInput(f"ATTNAUDIT_{name}={value!r} is not a number") from None

    def flag(self, name: str, *, default: bool) -> bool:
        return self.choice(name, "1" if default else "0", ("0", "1")) == "1"

    def choice(self, name: str, default: str, known: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in known:
            raise UnusableInput(f"ATTNAUDIT_{name}={value!r} is none of {', '.join(known)}")
        return value

    def size(self, name: str, default: int) -> int:
        value = self.text(name, str(default)).upper().removesuffix("B").removesuffix("I")
        number, unit = (value[:-1], _UNITS[value[-1]]) if value[-1:] in _UNITS else (value, 1)
        try:
            return int(float(number) * unit)
        except ValueError:
            raise UnusableInput(f"ATTNAUDIT_{name}={value!r} is no size: give bytes, or e.g. 8G") from None


def _default_memory() -> int:
    total = psutil.virtual_memory().total
    capped = _CGROUP.read_text("ascii").strip() if _CGROUP.exists() else "max"
    return int(min(total, int(capped) if capped.isdigit() else total) * _SHARE)
