"""Foreign servers: what they may lose is said, passwords work and are shown nowhere."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from redis import Redis

from audit.errors import MachineFault, UnusableInput
from tests.workers.conftest import Workers, quick_settings, until
from workers.app import make_app
from workers.client import Client
from workers.connections import connected, reachable, weaknesses
from workers.serve import valkey

pytestmark = pytest.mark.redis


@pytest.fixture
def foreign():
    """A server as somebody else set it up: TCP, a password, nothing kept on disk, keys evicted."""
    # a child of the server may still write into the folder when that is gone
    unwatched = tempfile.TemporaryDirectory(prefix="attnaudit-", ignore_cleanup_errors=True)
    with socket.socket() as free, unwatched as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = ["--port", str(port), "--requirepass", "pa-ss-word", "--save", "", "--appendonly", "no"]
        more = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--dir", folder]
        process = subprocess.Popen([valkey.binary(), *options, *more], stdout=subprocess.DEVNULL)
        url = f"redis://:pa-ss-word@127.0.0.1:{port}/0"
        assert valkey.answers(url)
        yield url
        process.kill()
        process.wait()


def test_the_embedded_server_keeps_what_it_accepts(redis: Redis):
    """Nothing to warn of."""
    assert weaknesses(redis) == ()


def test_what_a_foreign_server_may_lose_is_said_in_a_line_each(foreign):
    """Eviction, no append-only file, and one that is not synced at once."""
    client = connected(foreign)
    evicts, loses = weaknesses(client)
    assert "'allkeys-lru'" in evicts
    assert "appendonly is off" in loses
    client.config_set("appendonly", "yes")
    client.config_set("appendfsync", "everysec")
    assert "appendfsync is 'everysec'" in weaknesses(client)[1]


def test_a_server_with_password_works_and_the_password_is_logged_nowhere(
    foreign, models: Path, tmp_path: Path
):
    """Submission, worker, audit; and every line of the worker's log."""
    workers = Workers(quick_settings(foreign, models, tmp_path / "store"), tmp_path)
    workers.start()
    with Client(foreign, namespace="test") as client:
        assert client.wait(client.submit("tiny"), timeout=30).state == "published"
    until(lambda: "ready" in workers.logs())
    for process in list(workers.running):
        workers.kill(process)
    assert "pa-ss-word" not in workers.logs()
    assert "the queue's server: maxmemory-policy" in workers.logs()


def test_a_wrong_password_is_one_line_without_it(foreign):
    """As is a server that is not there."""
    with pytest.raises(MachineFault, match="cannot reach the queue at redis://:.{3}@127") as told:
        reachable(
            connected(foreign.replace("pa-ss-word", "guessed")), foreign.replace("pa-ss-word", "guessed")
        )
    assert "guessed" not in str(told.value)
    with Client("redis://:secret@127.0.0.1:1/0") as client, pytest.raises(MachineFault) as told:
        client.jobs()
    assert "secret" not in str(told.value)


def test_another_scheme_is_refused():
    """Not every URL is a Redis."""
    with pytest.raises(UnusableInput, match="use redis://, rediss:// or unix://"):
        connected("http://host")


@pytest.fixture
def encrypted(tmp_path: Path):
    """A server with TLS and a certificate of its own authority; the system's, for the wheel's knows no TLS."""
    program = shutil.which("redis-server")
    if not program or not shutil.which("openssl"):
        pytest.fail("redis-server or openssl is missing: `make test` installs them")
    (tmp_path / "extensions").write_text("subjectAltName=DNS:localhost")
    for line in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
        "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile extensions",
    ):
        subprocess.run(["openssl", *line.split()], cwd=tmp_path, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (
        "--tls-cert-file cert.pem --tls-key-file key.pem --tls-ca-cert-file ca.pem --tls-auth-clients no"
    )
    process = subprocess.Popen(
        [program, "--port", "0", "--tls-port", str(port), *options.split(), "--requirepass", "pa-ss-word"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    url = f"rediss://:pa-ss-word@localhost:{port}/0"
    assert valkey.answers(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}")
    yield url, tmp_path / "ca.pem"
    process.kill()
    process.wait()


def test_tls_works_and_an_unknown_authority_is_refused_by_ledger_and_celery(
    encrypted, models: Path, tmp_path: Path
):
    """The certificate is checked on both ways to the server."""
    url, authority = encrypted
    trusted = f"{url}?ssl_ca_certs={authority}"
    workers = Workers(quick_settings(trusted, models, tmp_path / "store"), tmp_path)
    workers.start()
    with Client(trusted, namespace="test") as client:
        assert client.wait(client.submit("tiny"), timeout=30).state == "published"
    for process in list(workers.running):
        workers.kill(process)
    with pytest.raises(MachineFault, match="CERTIFICATE_VERIFY_FAILED"):
        reachable(connected(url, retries=0), url)
    app = make_app(quick_settings(url, models, tmp_path / "store"))
    with app.connection() as connection, pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connection.ensure_connection(max_retries=1, timeout=3)
