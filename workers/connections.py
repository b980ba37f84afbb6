"""Connections to Redis or Valkey: bounded waits, retries, and a check that the server keeps what it accepts."""

import logging
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from audit.errors import MachineFault, UnusableInput

TRANSIENT: Final = (NotConnected, TimedOut)  # includes a server that loads its data
_LOG: Final = logging.getLogger(__name__)
_SCHEMES: Final = ("redis", "rediss", "unix")


def connected(url: str, *, retries: int = 6, timeout: float = 10.0) -> Redis:
    """A client of the server at `url`; each command is tried for some seconds before it raises.

    Repeating is safe because each transition of the ledger is.
    """
    if urlsplit(url).scheme not in _SCHEMES:
        raise UnusableInput(
            f"the Redis URL begins with {urlsplit(url).scheme!r}; use redis://, rediss:// or unix://"
        )
    backoff = Retry(ExponentialBackoff(cap=1.0, base=0.05), retries, supported_errors=(*TRANSIENT, OSError))
    options: dict[str, Any] = {} if url.startswith("unix") else {"socket_keepalive": True}
    client: Redis = Redis.from_url(
        url,
        decode_responses=True,
        retry=backoff,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        health_check_interval=15,  # a connection that died unseen is noticed before it is used
        **options,
    )
    return client


def for_celery(url: str) -> str:
    """The same server in the words of Celery's transport."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    secret = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{secret}{parts.path}?virtual_host={database}"


def tls_for_celery(url: str) -> dict[str, Any] | None:
    """TLS options for Celery's transport, which by itself would take any certificate; None without TLS."""
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return None
    given = {name: values[0] for name, values in parse_qs(parts.query).items() if name.startswith("ssl_")}
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **given}


def without_secret(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return url.replace(f"{user}@", f"{user.partition(':')[0]}:***@", 1) if at else url


def reachable(client: Redis, url: str) -> None:
    """Nothing, once the server answers; MachineFault in one line otherwise."""
    try:
        client.ping()
    except RedisError as error:
        raise MachineFault(
            f"cannot reach the queue at {without_secret(url)}: {error}; start it with `attnaudit serve`, "
            "or set ATTNAUDIT_REDIS_URL"
        ) from None


def weaknesses(client: Redis) -> tuple[str, ...]:
    """What this server may do to accepted jobs, one line each; empty where it keeps them."""
    policy, aof, fsync = (
        _configured(client, name) for name in ("maxmemory-policy", "appendonly", "appendfsync")
    )
    found = []
    if policy not in {"noeviction", None}:
        found.append(f"maxmemory-policy is {policy!r}: under pressure queued jobs vanish; set noeviction")
    if aof == "no":
        found.append("appendonly is off: a restart of the server loses accepted jobs; set appendonly yes")
    elif fsync not in {"always", None}:
        found.append(
            f"appendfsync is {fsync!r}: a power cut loses the last second of accepted jobs; set always"
        )
    return tuple(found)


def warn_of_weaknesses(client: Redis) -> None:
    """Say at start-up what the server may lose."""
    for line in weaknesses(client):
        _LOG.warning("the queue's server: %s", line)


def _configured(client: Redis, name: str) -> str | None:
    """The server's setting; None where it does not tell, as hosted servers do."""
    try:
        found: Any = client.config_get(name)
    except RedisError:
        return None
    value: str | None = found.get(name)
    return value
