"""Digests: what makes two checkpoints, two measurements or two audits the same."""

import hashlib
import json
from pathlib import Path

_CHUNK = 1 << 20  # bytes; large enough that hashing, not calling, takes the time


def digest_of(content: object) -> str:
    """SHA-256 (hexadecimal) of `content` as canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 (hexadecimal) of a file's bytes, read in chunks."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
