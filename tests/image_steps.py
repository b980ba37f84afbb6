"""Runs the Dockerfile's own steps in bare Debian folders, then audits there as its user, with a read-only root.

It stands in for an image build where no container engine is at hand: debootstrap, chroot and mount namespaces, as root
on Linux. Mounts live in namespaces of their own and end with them.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parent.parent
MODEL = "BERT-tiny"
_QUIET = {"COMMENT", "LABEL", "EXPOSE", "FROM"}


@dataclass
class Stage:
    """What a stage's file system and its environment have become so far."""

    folder: Path
    name: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    commands: dict[str, list[str]] = field(default_factory=dict)  # ENTRYPOINT, CMD, HEALTHCHECK


def inside(
    stage: Stage,
    command: Sequence[str],
    *,
    mounts: Sequence[tuple[str, Path | str]] = (),
    sealed: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run in the stage's folder; sealed: as its user, the root read-only, /tmp fresh, and without any network."""
    root = shlex.quote(str(stage.folder))
    steps = [f"mount --bind {root} {root}"]
    steps += [f"mount --rbind {place} {root}{place}" for place in ("/proc", "/dev", "/sys")]
    steps += [
        f"mount --bind {shlex.quote(str(source))} {root}{shlex.quote(target)}" for target, source in mounts
    ]
    if sealed:
        steps += [f"mount -t tmpfs tmpfs {root}/tmp", f"mount -o remount,ro,bind {root}", "ip link set lo up"]
    given = " ".join(shlex.quote(f"{name}={value}") for name, value in stage.environment.items())
    words = " ".join(map(shlex.quote, command))
    steps.append(
        f"exec chroot --userspec={stage.user if sealed else '0:0'} {root} "
        f"/usr/bin/env --ignore-environment --chdir={stage.workdir} {given} {words}"
    )
    namespaces = ["unshare", "--mount", "--propagation", "private", *(["--net"] if sealed else [])]
    return subprocess.run([*namespaces, "sh", "-euc", "\n".join(steps)], text=True, capture_output=sealed)


def build(dockerfile: Path, work: Path, arguments: Mapping[str, str]) -> Stage:
    """Carry out the whole file; the last stage."""
    base = bare_debian(work, arguments["DEBIAN"])
    stages: list[Stage] = []
    for step in DockerfileParser(str(dockerfile)).structure:
        instruction, value = step["instruction"], step["value"]
        if instruction == "FROM":
            stages.append(begun(work, base, len(stages), value))
        elif stages:
            print(f"-- {instruction} {value}"[:150], flush=True)
            carried_out(instruction, value, stages, arguments)
    return stages[-1]


def bare_debian(work: Path, suite: str) -> Path:
    """A minimal Debian, made once."""
    base = work / f"debian-{suite}"
    if not base.exists():
        making = work / "making"
        shutil.rmtree(making, ignore_errors=True)
        private = ["unshare", "--mount", "--propagation", "private"]
        kept = work / "packages"
        kept.mkdir(exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--cache-dir={kept}", suite, making]
        subprocess.run([*private, *command], check=True, stdout=subprocess.DEVNULL)
        making.rename(base)
    return base


def begun(work: Path, base: Path, number: int, value: str) -> Stage:
    """A stage on a fresh copy of bare Debian."""
    words = value.split()
    assert words[0] == "debian:${DEBIAN}-slim", f"{words[0]} is no bare Debian"
    folder = work / f"stage-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["cp", "--archive", base, folder], check=True)
    return Stage(folder, words[2] if len(words) > 2 else "", {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def carried_out(instruction: str, value: str, stages: list[Stage], arguments: Mapping[str, str]) -> None:
    """One instruction of the newest stage; one that this does not know is an error."""
    stage = stages[-1]
    match instruction:
        case "RUN":
            pip, mounts = pip_configuration(stage.folder)
            dressed = Stage(stage.folder, environment={**stage.environment, **pip}, workdir=stage.workdir)
            done = inside(dressed, ["sh", "-ec", value], mounts=mounts)
            if done.returncode:
                raise SystemExit(f"this step of the Dockerfile failed: {value}")
        case "ARG":
            name, _, default = value.partition("=")
            stage.environment[name] = arguments.get(
                name, Template(default).safe_substitute(stage.environment)
            )
        case "ENV":
            stage.environment |= dict(word.split("=", 1) for word in shlex.split(value))
        case "COPY":
            copied(value, stages)
        case "WORKDIR":
            stage.workdir = value
            (stage.folder / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = value
        case "ENTRYPOINT" | "CMD":
            stage.commands[instruction] = json.loads(value)
        case "HEALTHCHECK":
            stage.commands[instruction] = json.loads(value.partition("CMD")[2])
        case _:
            assert instruction in _QUIET, f"{instruction} is unknown here"


def copied(value: str, stages: list[Stage]) -> None:
    """COPY, from the checkout or from an earlier stage; a folder's content goes into the target."""
    *options, target = shlex.split(value)
    stage = stages[-1]
    origin = ROOT
    if options[0].startswith("--from="):
        name = options.pop(0).removeprefix("--from=")
        origin = next(earlier.folder for earlier in stages if earlier.name == name)
    place = stage.folder / Path(stage.workdir, target).as_posix().lstrip("/")
    for source in (origin / name.lstrip("/") for name in options):
        if source.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "--archive", "--no-target-directory", source, place], check=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


def pip_configuration(folder: Path) -> tuple[dict[str, str], list[tuple[str, Path]]]:
    """This machine's way to packages, for a folder that knows nothing of it: pip's settings, and the files they name."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    settings = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        settings["PIP_" + name.rpartition(".")[2].upper().replace("-", "_")] = value.strip("'\"")
    mounts = [("/etc/resolv.conf", Path("/etc/resolv.conf")), ("/etc/hosts", Path("/etc/hosts"))]
    for name, value in settings.items():
        for word in value.split():
            source = Path(word.removeprefix("file://"))
            if source.is_file():  # elsewhere: a package may bring a file of that name
                mounts.append((f"/run/configured/{len(mounts)}", source))
                settings[name] = settings[name].replace(word, mounts[-1][0])
            elif source.is_absolute() and source.is_dir():
                folder_of_all = (
                    source.parent if word.startswith("file:") else source
                )  # an index links to its neighbours
                mounts.append((str(folder_of_all), folder_of_all))
    for target, source in mounts:
        place = folder / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(exist_ok=True) if source.is_dir() else place.touch()
    return settings, mounts


def checks(stage: Stage, work: Path) -> Iterator[str]:
    """What the finished image must do; one line each, with what was seen."""
    uid, gid = map(int, stage.user.split(":"))
    store = work / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    os.chown(store, uid, gid)
    mounts: list[tuple[str, Path | str]] = [("/store", store), ("/models", ROOT / ".cache/inputs")]

    def ran(*words: str, code: int = 0) -> str:
        done = inside(stage, words, mounts=mounts, sealed=True)
        if done.returncode != code:
            raise SystemExit(f"{words} ended with {done.returncode}, not {code}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    installed = {
        path.name.partition("-")[0]
        for path in stage.folder.glob("opt/*/lib/python3*/site-packages/*.dist-info")
    }
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    loose = {_plain(name) for name in installed} - {_plain(name) for name in pinned} - {"attention-audit"}
    if loose:
        raise SystemExit(f"installed and not pinned in constraints.txt: {', '.join(sorted(loose))}")
    yield f"{len(installed)} packages, each pinned"
    program = stage.commands["ENTRYPOINT"]
    yield f"user {ran('id').strip()}"
    yield f"root is read-only: {ran('touch', '/here', code=1).strip()}"
    yield f"help: {ran(*program, '--help').splitlines()[0]}"
    words = [
        "run",
        f"/models/{MODEL}",
        "-o",
        "/store",
        "--depth",
        "quick",
        "--samples",
        "16",
        "--max-length",
        "32",
    ]
    yield f"audit: {ran(*program, *words).strip()[-300:]}"
    (report,) = store.glob("*/report.pdf")
    yield f"report: {report.stat().st_size} bytes, owner {report.stat().st_uid}"
    refused = ran(*program, *stage.commands["CMD"], code=5)
    yield f"without a queue: {refused.strip()}"
    yield f"healthy: {ran('sh', '-euc', _SERVED.format(program=shlex.join(program), health=shlex.join(stage.commands['HEALTHCHECK'])))}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# the service in one container: a job goes through it, and the health check of the image agrees that it is alive
_SERVED = """
{program} serve >/tmp/serve.log 2>&1 & pid=$!
for _ in $(seq 60); do grep -q "ready: jobs" /tmp/serve.log && break; sleep 1; done
{health} || {{ cat /tmp/serve.log; exit 1; }}
echo the health check passes
{program} wait $({program} submit /models/BERT-tiny --depth quick --samples 16 --max-length 32 --seed 1) 2>&1 | tail -1
kill -TERM $pid; wait $pid
{health} 2>/dev/null || echo and fails once nothing runs
"""


def main() -> None:
    """Build, check, say; `--keep` leaves the folders."""
    if os.geteuid():
        raise SystemExit("make image-steps needs root: it mounts and changes root")
    work = ROOT / ".cache/image"
    work.mkdir(parents=True, exist_ok=True)
    arguments = {"DEBIAN": "bookworm", "TORCH_INDEX": ""}  # torch from where pip is configured to look
    try:
        stage = build(ROOT / "docker/Dockerfile", work, arguments)
        size = subprocess.run(
            ["du", "-sm", stage.folder], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        print(f"== the image's folder holds {size} MB")
        for line in checks(stage, work):
            print(f"== {line}", flush=True)
    finally:
        if "--keep" not in sys.argv:
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
