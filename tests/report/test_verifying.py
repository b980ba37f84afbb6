"""A report that was touched is found out: attached JSON, digests, signature."""

import datetime as dt
import re
import shutil
import subprocess
import sys

import pypdf
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from audit import store as stores
from audit.report import signing
from audit.report.rendering import PDF


@pytest.fixture(scope="module")
def published(drawn, printed, tmp_path_factory):
    """The example's folder as the store has it, with its PDF."""
    folder = tmp_path_factory.mktemp("store") / drawn.audit.audit_id
    shutil.copytree(drawn.folder, folder)
    stores.write_audit(drawn.audit, folder)
    (folder / PDF).write_bytes(printed)
    stores.write_manifest(folder)
    return folder


@pytest.fixture
def folder(published, tmp_path):
    copy = tmp_path / published.name
    shutil.copytree(published, copy)
    return copy


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    """A key and its own certificate, with the passphrase beside it."""
    place = tmp_path_factory.mktemp("key")
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A Reviewer")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=9_000))
        .sign(private, hashes.SHA256())
    )
    secret = serialization.BestAvailableEncryption(b"sesame")
    data = pkcs12.serialize_key_and_certificates(b"k", private, certificate, None, secret)
    (place / "key.p12").write_bytes(data)
    (place / "passphrase").write_text("sesame\n")
    return place / "key.p12"


@pytest.fixture(scope="module")
def signed(published, key, tmp_path_factory):
    """The folder with its PDF signed."""
    copy = tmp_path_factory.mktemp("signed") / published.name
    shutil.copytree(published, copy)
    (copy / PDF).write_bytes(signing.signed((copy / PDF).read_bytes(), signing.signer_of(key, b"sesame")))
    stores.write_manifest(copy)
    return copy


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def attachment(data):
    """Where the compressed bytes of the attached file stand."""
    head = re.search(rb"/Type ?/EmbeddedFile|/EmbeddedFile", data)
    start = data.index(b"stream", head.start()) + 7
    return start, data.index(b"endstream", start)


def test_what_was_published_holds(attnaudit, folder):
    """The folder, and its PDF alone."""
    for path in (folder, folder / PDF):
        ran = attnaudit("verify", path)
        assert ran.code == 0, ran.out
        assert f"attached: audit {folder.name}" in ran.out
        assert "not signed" in ran.out


@pytest.mark.parametrize("what", ["audit.json", "attachment", "pages", "another's json", "no attachment"])
def test_a_changed_byte_is_found(attnaudit, folder, what):
    """Exit code 1, and the line says which."""
    pdf = folder / PDF
    if what == "audit.json":
        flip(folder / stores.AUDIT, 100)
    elif what == "attachment":
        start, end = attachment(pdf.read_bytes())
        flip(pdf, (start + end) // 2)
        assert attnaudit("verify", pdf).code == 1
    elif what == "pages":
        flip(pdf, 2_000)
    elif what == "another's json":
        path = folder / stores.AUDIT
        path.write_bytes(path.read_bytes().replace(b'"verdict": "watch"', b'"verdict": "pass"'))
        stores.write_manifest(folder)
        assert attnaudit("verify", pdf).code == 1
    else:
        writer = pypdf.PdfWriter()
        writer.append(pdf, import_outline=False)
        writer.root_object.pop("/Names", None)
        writer.root_object.pop("/AF", None)
        writer.write(pdf)
        assert attnaudit("verify", pdf).code == 1
    ran = attnaudit("verify", folder)
    assert ran.code == 1
    assert "MISMATCH" in ran.out


def test_a_signed_report_holds_and_says_by_whom(attnaudit, signed):
    """PAdES, over the whole file."""
    assert b"ETSI.CAdES.detached" in (signed / PDF).read_bytes()
    ran = attnaudit("verify", signed)
    assert ran.code == 0, ran.out
    assert "signature of Common Name: A Reviewer covers the whole file" in ran.out


def test_another_program_finds_the_signature_valid(signed):
    """Poppler's."""
    said = subprocess.run(["pdfsig", signed / PDF], capture_output=True, text=True, check=False).stdout
    assert "Signature Type: ETSI.CAdES.detached" in said
    assert "Signature is Valid" in said
    assert "Total document signed" in said


@pytest.mark.parametrize("where", ["pages", "attachment", "after"])
def test_a_changed_byte_of_a_signed_report_alone_is_found(attnaudit, signed, tmp_path, where):
    """Without any manifest beside it."""
    path = tmp_path / "alone.pdf"
    shutil.copy(signed / PDF, path)
    data = path.read_bytes()
    if where == "after":
        path.write_bytes(data + b"\n% more\n")
    else:
        flip(path, 2_000 if where == "pages" else sum(attachment(data)) // 2)
    ran = attnaudit("verify", path)
    assert ran.code == 1
    assert "MISMATCH" in ran.out


def test_report_signs_what_it_draws(attnaudit, published, key, tmp_path):
    """From the command line; a wrong passphrase, a missing key and no key file are one line, before anything is drawn."""
    copy = tmp_path / published.name
    shutil.copytree(published, copy)
    secret = ("--passphrase-file", key.parent / "passphrase")
    assert attnaudit("report", copy, "--sign", key, *secret).code == 0
    assert "covers the whole file" in attnaudit("verify", copy).out
    for words, said in (
        (("--sign", key.parent / "none.p12", *secret), "does not exist"),
        (("--sign", key, "--passphrase-file", key), "cannot be read"),
        (("--sign", key.parent / "passphrase", *secret), "no PKCS#12 file"),
    ):
        ran = attnaudit("report", copy, *words)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert said in ran.err


def test_without_the_extra_it_is_said(attnaudit, signed, key, monkeypatch):
    """Neither signing nor a signed report is passed over in silence."""
    monkeypatch.setitem(sys.modules, "audit.report.signing", None)
    for words in (
        ("verify", signed),
        ("report", signed, "--sign", key, "--passphrase-file", key.parent / "passphrase"),
    ):
        ran = attnaudit(*words)
        assert ran.code == 2
        assert "attention-audit[sign]" in ran.err


@pytest.mark.parametrize("what", ["nowhere", "empty folder", "no pdf"])
def test_what_cannot_be_checked_is_one_line(attnaudit, tmp_path, what):
    """2 where there is nothing, 1 where it is no PDF."""
    path = tmp_path / "x"
    if what == "empty folder":
        path.mkdir()
    if what == "no pdf":
        path.write_bytes(b"hello")
    ran = attnaudit("verify", path)
    assert ran.code == (1 if what == "no pdf" else 2)
    assert len((ran.out + ran.err).splitlines()) == 1
