"""Writing a small file whole and for good."""

import os
import secrets
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of what is at `path`, in one step; on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
