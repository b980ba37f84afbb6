"""The option `--sign` of the commands that draw a PDF."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from audit import store as stores
from audit.errors import UnusableInput
from audit.report.rendering import PDF

option = click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path),
    metavar="KEY",
    help="Sign the PDF: a PKCS#12 file; asks for its passphrase.",
)
passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --sign: do not ask, read its first line.",
)


def ready(key: Path | None, passphrase_file: Path | None, *, pdf: bool) -> Any:
    """What signs the PDF of a folder, or None without a key; all that can be refused is refused before any work."""
    if key is None:
        return None
    if not pdf:
        raise UnusableInput("--sign and --no-pdf exclude each other: without a PDF there is nothing to sign")
    try:
        signing = import_module("audit.report.signing")
    except ImportError:
        raise UnusableInput("--sign needs the extra: pip install 'attention-audit[sign]'") from None
    if not key.is_file():
        raise UnusableInput(f"key {str(key)!r} does not exist: give a PKCS#12 file (.p12, .pfx)")
    signer = signing.signer_of(key, _passphrase(passphrase_file))

    def sign(folder: Path) -> None:
        path = folder / PDF
        if not path.is_file():
            raise UnusableInput(f"{str(path)!r} does not exist: without a PDF there is nothing to sign")
        with stores.faults_of_the_disk(folder):
            fresh = path.with_name(f".{path.name}")
            fresh.write_bytes(signing.signed(path.read_bytes(), signer))
            fresh.replace(path)
            stores.write_manifest(folder)

    return sign


def _passphrase(file: Path | None) -> bytes | None:
    if file is None:
        said = str(
            click.prompt("passphrase of the key", hide_input=True, default="", show_default=False, err=True)
        )
    else:
        try:
            said = (file.read_text("utf-8").splitlines() or [""])[0]
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableInput(f"passphrase file {str(file)!r} cannot be read: {error}") from None
    return said.encode() or None
