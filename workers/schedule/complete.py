"""Whether a checkpoint is whole: what is still being written must not be audited."""

import time
from pathlib import Path
from typing import Any, Final

import msgspec
from safetensors import SafetensorError, safe_open

from audit.checkpoint.gguf_header import BadHeader, read_header

STILL: Final = 60.0  # seconds without a change
_UNFINISHED: Final = (".tmp", ".incomplete", ".part", ".lock")
_WEIGHTS: Final = (".safetensors", ".gguf", ".bin")


def incomplete(checkpoint: Path, *, now: float | None = None) -> str | None:
    """Why the checkpoint is not complete yet, or None.

    Complete: the index names every shard, header lengths equal file sizes, no unfinished names, nothing changed for
    60 s.
    """
    try:
        files = [checkpoint] if checkpoint.is_file() else [p for p in checkpoint.rglob("*") if p.is_file()]
        return _unfinished(files) or _weightless(files) or _moving(files, now) or _broken(files)
    except OSError as error:  # a file that is renamed while we look
        return f"{error.filename!r} cannot be read"


def fingerprint(checkpoint: Path) -> list[list[Any]]:
    """Names, sizes and times of the files: differs once the checkpoint was written again."""
    files = [checkpoint] if checkpoint.is_file() else sorted(p for p in checkpoint.rglob("*") if p.is_file())
    stats = ((path, path.stat()) for path in files)
    return [[path.name, stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def _unfinished(files: list[Path]) -> str | None:
    return next((f"{p.name!r} is still being written" for p in files if p.name.endswith(_UNFINISHED)), None)


def _weightless(files: list[Path]) -> str | None:
    return None if any(p.name.endswith(_WEIGHTS) for p in files) else "there are no weights yet"


def _moving(files: list[Path], now: float | None) -> str | None:
    newest = max(path.stat().st_mtime for path in files)
    still = (time.time() if now is None else now) - newest
    return None if still >= STILL else f"it changed {still:.0f} s ago"


def _broken(files: list[Path]) -> str | None:
    for path in files:
        if path.name.endswith(".index.json"):
            if missing := _missing_shard(path):
                return f"{path.name!r} names {missing!r}, which is not there"
        elif not _fits(path):
            return f"the header of {path.name!r} does not fit its size"
    return None


def _missing_shard(index: Path) -> str | None:
    try:
        shards = set(msgspec.json.decode(index.read_bytes())["weight_map"].values())
    except (msgspec.DecodeError, KeyError, AttributeError, TypeError):
        return "shards it does not tell"
    return next((str(name) for name in sorted(map(str, shards)) if not (index.parent / name).is_file()), None)


def _fits(path: Path) -> bool:
    """Whether the header's offsets end where the file does, for a format that has such a header."""
    try:
        if path.name.endswith(".safetensors"):
            with safe_open(path, framework="numpy"):  # which checks it
                return True
        elif path.name.endswith(".gguf"):
            read_header(path)
    except (SafetensorError, BadHeader):
        return False
    return True
