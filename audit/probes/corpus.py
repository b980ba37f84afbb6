"""Reads the corpora that ship with the package and takes the digest of any set of documents."""

import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files

from audit.definitions import Document
from audit.errors import InternalFault


def digest(documents: Iterable[Document]) -> str:
    """SHA-256 of the documents in order, hexadecimal: what identifies the content of a probe.

    Only ids and texts enter, so the same rows give the same digest whichever file format they came in. For a
    shipped corpus it equals the SHA-256 of the file.
    """
    hashed = hashlib.sha256()
    for document in documents:
        line = json.dumps({"id": document.id, "text": document.text}, ensure_ascii=False)
        hashed.update(f"{line}\n".encode())
    return hashed.hexdigest()


def read(name: str, *, sha256: str) -> tuple[Document, ...]:
    """The documents of the shipped corpus `name`.

    Raises:
        InternalFault: the file is missing or is not the one whose digest the probe's module records.
    """
    content = _content(name)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InternalFault(
            f"corpus {name!r} is damaged: SHA-256 {found[:12]}, expected {sha256[:12]}; install the package again"
        )
    return tuple(Document(**json.loads(line)) for line in content.decode("utf-8").split("\n") if line)


def _content(name: str) -> bytes:
    try:
        return files("audit.probes").joinpath("data", f"{name}.jsonl").read_bytes()
    except OSError as error:
        raise InternalFault(
            f"corpus {name!r} cannot be read ({error.strerror}); install the package again"
        ) from error
