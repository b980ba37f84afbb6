"""Whether a report, the JSON attached to it, its digest and its signature belong together."""

import hashlib
import io
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import msgspec
import pypdf

from audit import store
from audit.errors import UnusableInput
from audit.report.rendering import PDF
from audit.results import Audit

_SIGNING = "audit.report.signing"  # its library is an extra


class Said(NamedTuple):
    """One thing that was looked at."""

    holds: bool
    words: str


def verified(path: Path) -> list[Said]:
    """What holds and what does not of an audit's folder or of a PDF alone.

    Raises UnusableInput where there is neither, or where a signature cannot be checked without the extra `sign`.
    """
    if path.is_dir():
        if not (path / store.MANIFEST).is_file():
            raise UnusableInput(f"no published audit in {str(path)!r}: it has no {store.MANIFEST}")
        return [*_folder(path), *(_report(path / PDF) if (path / PDF).is_file() else [])]
    if not path.is_file():
        raise UnusableInput(f"{str(path)!r} does not exist: give an audit's folder or its {PDF}")
    return list(_report(path))


def is_signed(path: Path) -> bool:
    """Whether the PDF at `path` carries a signature; one that cannot be read carries none that could be lost."""
    try:
        return "/AcroForm" in pypdf.PdfReader(path).root_object
    except Exception:  # noqa: BLE001 - a broken PDF breaks its reader in many ways
        return False


def _folder(folder: Path) -> Iterator[Said]:
    """Every file against the manifest, and the audit against its schema."""
    try:
        audit = store.read(folder)
        store.refuse_edited(folder, spare=())
    except UnusableInput as error:
        yield Said(holds=False, words=str(error))
        return
    if audit.audit_id != folder.resolve().name:
        yield Said(
            holds=False, words=f"the folder is called {folder.name!r} and holds audit {audit.audit_id}"
        )
    yield Said(holds=True, words=f"{len(store.listed(folder))} files have the digests of the manifest")


def _report(path: Path) -> Iterator[Said]:
    data = path.read_bytes()
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=True)
        attached = {each.name: each for each in reader.attachment_list}
        about = (reader.metadata.subject if reader.metadata else None) or ""
        found = attached.get(store.AUDIT)
        content, checksum = (bytes(found.content), _bytes(found.checksum)) if found else (b"", None)
        is_signed = "/AcroForm" in reader.root_object
    except Exception as error:  # noqa: BLE001 - a broken PDF breaks its reader in many ways, each is the same answer
        yield Said(holds=False, words=f"{str(path)!r} is no whole PDF: {type(error).__name__}: {error}")
        return
    if found is None:
        yield Said(holds=False, words=f"{str(path)!r} has no {store.AUDIT} attached")
        return
    yield from _attachment(path, content, checksum, about)
    if is_signed:
        yield from _signatures(data)
    else:
        yield Said(holds=True, words="not signed: its pages rest on the manifest beside it, or on nothing")


def _bytes(checksum: object) -> bytes | None:
    """The bytes of a string that the reader may have taken for text."""
    raw = getattr(checksum, "original_bytes", checksum)
    return raw if isinstance(raw, bytes) else None


def _attachment(path: Path, content: bytes, checksum: bytes | None, about: str) -> Iterator[Said]:
    """The JSON against its checksum, its schema, the pages it is attached to, and the `audit.json` beside it."""
    digest = hashlib.md5(content, usedforsecurity=False).digest()  # what the PDF format has for attachments
    if checksum != digest:
        yield Said(holds=False, words=f"the attached {store.AUDIT} is not the one that was attached")
    try:
        audit = msgspec.json.decode(content, type=Audit)
    except msgspec.DecodeError as error:
        yield Said(holds=False, words=f"the attached {store.AUDIT} is no audit: {error}")
        return
    if audit.audit_id not in about:
        yield Said(holds=False, words=f"the pages are not of the attached audit {audit.audit_id}")
    beside = path.parent / store.AUDIT
    if beside.is_file() and beside.read_bytes() != content:
        yield Said(holds=False, words=f"the attached {store.AUDIT} is not the one beside the PDF")
    sha256 = hashlib.sha256(content).hexdigest()
    yield Said(
        holds=True, words=f"attached: audit {audit.audit_id}, verdict {audit.verdict}, sha256 {sha256}"
    )


def _signatures(data: bytes) -> Iterator[Said]:
    try:
        signing = import_module(_SIGNING)
    except ImportError:
        raise UnusableInput("the PDF is signed: pip install 'attention-audit[sign]' to check it") from None
    try:
        found = signing.signatures(data)
    except Exception as error:  # noqa: BLE001 - as above: what cannot be read does not hold
        yield Said(holds=False, words=f"the signature cannot be read: {type(error).__name__}: {error}")
        return
    if not found:
        yield Said(holds=False, words="the PDF has a form and no signature in it")
    for signature in found:
        state = (
            "covers the whole file, unchanged"
            if signature.whole
            else "does NOT hold: the file was changed after it"
        )
        yield Said(
            holds=signature.whole,
            words=f"signature of {signature.signer} {state}; whether to trust that certificate is yours to say",
        )
