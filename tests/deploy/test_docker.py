"""The image and the compose file: linted, and held to the code they run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from compose_spec import PyCompose

from tests.deploy.common import COMPOSE, DOCKERFILE, ROOT, compose, instructions
from tests.workers.conftest import until
from workers.connections import connected, weaknesses
from workers.worker import FAREWELL

BIN = Path(sys.executable).parent


def lint(file: Path) -> str:
    command = [BIN / "hadolint", "--config", ROOT / "docker/hadolint.yaml", "--no-color", file]
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_the_dockerfile_passes_hadolint(tmp_path):
    """And hadolint sees what it should: each of these is a fault."""
    assert lint(DOCKERFILE) == ""
    text = DOCKERFILE.read_text()
    for sound, faulty, rule in (
        ("--no-install-recommends", "", "DL3015"),
        ("WORKDIR /tmp", "WORKDIR tmp", "DL3000"),
        ('CMD ["worker"]', "CMD worker", "DL3025"),
        ("debian:${DEBIAN}-slim AS", "debian:latest AS", "DL3007"),
    ):
        assert sound in text
        (tmp_path / "Dockerfile").write_text(text.replace(sound, faulty))
        assert rule in lint(tmp_path / "Dockerfile")


def test_the_image_holds_the_system_packages_that_the_checkout_asks_for():
    """Those of `.ci/system venv`, of which python3-venv is for the build and its python3 for the rest."""
    line = next(x for x in (ROOT / ".ci/system").read_text().splitlines() if x.startswith("venv=("))
    wanted = set(line[len("venv=(") : -1].split())
    steps = [value for kind, value in instructions() if kind == "RUN" and "apt-get install" in value]
    installed = {
        word
        for step in steps
        for word in step.partition("apt-get install")[2].partition("&&")[0].split()
        if word[0] != "-"
    }
    assert installed == wanted | {"python3"}


def test_the_image_runs_as_nobody_in_particular_and_installs_pinned_packages():
    """A number, so that an orchestrator can see that it is not root; no install without the constraints."""
    found = instructions()
    (user,) = [value for kind, value in found if kind == "USER"]
    assert user == "10001:10001"
    for kind, value in found:
        for part in value.split("&&") if kind == "RUN" else []:
            if "pip install" in part or "pip wheel" in part:
                assert "constraint constraints.txt" in part


def test_what_the_build_copies_is_what_its_ignore_file_lets_through():
    """A folder more or less and the build fails, or sends the whole checkout."""
    lines = (ROOT / "docker/Dockerfile.dockerignore").read_text().split()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    words = [value.split()[:-1] for kind, value in instructions() if kind == "COPY" and "--from" not in value]
    assert {word for some in words for word in some} == let_through
    assert all((ROOT / name).exists() for name in let_through)


def test_the_health_check_asks_where_the_service_answers():
    """The port stands three times."""
    found = dict(instructions())
    port = found["EXPOSE"]
    assert f"http://127.0.0.1:{port}/live" in json.loads(found["HEALTHCHECK"].partition("CMD")[2])[2]
    assert f"ATTNAUDIT_HTTP=0.0.0.0:{port}" in found["ENV"]


def test_the_compose_file_is_one():
    """Parsed by the specification's own types; what is misspelt or of another type is not overlooked."""
    text = COMPOSE.read_text()
    PyCompose.from_json(json.dumps(compose()))
    for sound, faulty in (
        ("read_only: true", "read_onyl: true"),
        ("service_healthy", "service_helthy"),
        ("mem_limit: 1g", "mem_limit: much"),
        ("networks: [queue]", "networks: 3"),
    ):
        assert sound in text
        with pytest.raises(ValueError, match=r"."):
            PyCompose.from_json(json.dumps(compose(text.replace(sound, faulty, 1))))


def test_compose_services_are_closed():
    """Read-only, without capabilities, without a network that leads outside; Redis keeps what it accepts."""
    found = compose()
    for name, service in found["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
    assert found["networks"]["queue"]["internal"]
    for name in ("worker", "scheduler", "redis"):
        assert found["services"][name]["networks"] == ["queue"]
    server = " ".join(found["services"]["redis"]["command"])
    for word in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction", "requirepass"):
        assert word in server
    worker = found["services"]["worker"]
    grace = float(worker["environment"]["ATTNAUDIT_GRACE"])
    assert float(worker["stop_grace_period"].removesuffix("s")) > grace + FAREWELL
    (password,) = [secret["file"] for secret in found["secrets"].values()]
    assert f"docker/{password.removeprefix('./')}" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.redis
def test_redis_starts_with_the_password_of_the_file_and_hides_it(tmp_path):
    """The command of the compose file, on a server of this machine."""
    secret = tmp_path / "secret"
    secret.write_text("n0t-t0ld\n")
    script = compose()["services"]["redis"]["command"][2].replace("$$", "$")
    for old, new in (
        ("/run/secrets/redis_password", str(secret)),
        ("--dir /data", f"--dir {tmp_path} --port 0 --unixsocket {tmp_path}/s"),
    ):
        assert old in script
        script = script.replace(old, new)
    server = subprocess.Popen(["sh", "-c", script], stdout=subprocess.DEVNULL)
    try:
        until((tmp_path / "s").exists)
        client = connected(f"unix://:n0t-t0ld@{tmp_path}/s?db=0")
        assert client.ping()
        assert weaknesses(client) == ()
        assert "n0t-t0ld" not in Path(f"/proc/{server.pid}/cmdline").read_text()
        assert (
            "redis-server" in Path(f"/proc/{server.pid}/cmdline").read_text()
        )  # the signal to stop reaches it
        client.close()
    finally:
        server.kill()
        server.wait()
