"""SHA-256 of each file of a checkpoint, and of all of them together."""

import os
from collections.abc import Mapping
from pathlib import Path

from audit.identity import digest_of, digest_of_file
from audit.results.subject import FileDigest


def file_digests(files: Mapping[str, Path]) -> tuple[FileDigest, ...]:
    """Digest and size in bytes of each file (name -> real path), sorted by name."""
    return tuple(
        FileDigest(name=_printable(name), sha256=digest_of_file(path), bytes=path.stat().st_size)
        for name, path in sorted(files.items())
    )


def digest_of_files(files: tuple[FileDigest, ...]) -> str:
    """One digest of names and contents: the same wherever the folder stands."""
    return digest_of([[file.name, file.sha256] for file in files])


def _printable(name: str) -> str:
    # a name that is not UTF-8 could not be written to JSON
    return os.fsencode(name).decode("utf-8", "backslashreplace")
