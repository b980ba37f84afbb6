"""A PAdES signature on a report, and what there is to say of one. Needs the extra `sign`; no network is used."""

import io
from pathlib import Path
from typing import NamedTuple

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers import PdfSignatureMetadata, Signer, SimpleSigner, sign_pdf
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from audit.errors import UnusableInput

_FIELD = "AttentionAudit"


class Signature(NamedTuple):
    """One signature as found; whether its certificate is to be trusted is not asked."""

    signer: str  # the certificate's subject
    whole: bool  # the signed bytes are unchanged, and they are all of the file


def signer_of(key: Path, passphrase: bytes | None) -> Signer:
    """Who signs with the PKCS#12 file `key`.

    Raises UnusableInput where it cannot be read, holds no key with its certificate, or has another passphrase.
    """
    try:
        return SimpleSigner.load_pkcs12_data(key.read_bytes(), other_certs=[], passphrase=passphrase)
    except OSError as error:
        raise UnusableInput(f"key {str(key)!r} cannot be read: {error.strerror}") from None
    except Exception:  # noqa: BLE001 - a file of any other kind breaks its reader in any way
        raise UnusableInput(
            f"key {str(key)!r} is no PKCS#12 file (.p12, .pfx) with key and certificate, or the passphrase is not its own"
        ) from None


def signed(pdf: bytes, signer: Signer) -> bytes:
    """`pdf` with a signature: PAdES baseline B, SHA-256, dated by this machine's clock, no timestamp server."""
    about = PdfSignatureMetadata(
        field_name=_FIELD, subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256", reason="Attention audit"
    )
    out = io.BytesIO()
    sign_pdf(IncrementalPdfFileWriter(io.BytesIO(pdf)), about, signer=signer, output=out)
    return out.getvalue()


def signatures(pdf: bytes) -> tuple[Signature, ...]:
    """Every signature in `pdf`. Raises ValueError where one cannot be read at all."""
    nobody = ValidationContext(trust_roots=[], allow_fetching=False)
    found = []
    for each in PdfFileReader(io.BytesIO(pdf)).embedded_signatures:
        status = validate_pdf_signature(each, nobody)
        covered = status.coverage == SignatureCoverageLevel.ENTIRE_FILE
        found.append(
            Signature(
                str(each.signer_cert.subject.human_friendly), status.intact and status.valid and covered
            )
        )
    return tuple(found)
