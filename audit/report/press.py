"""The child that sets a PDF: HTML and what is attached on standard input, PDF on standard output; nothing is fetched."""

import json
import logging
import resource
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import BinaryIO

from weasyprint import HTML, Attachment
from weasyprint.urls import URLFetcher

from audit.errors import MachineFault


def press(page: str, attached: Mapping[str, bytes], *, timestamp: int) -> bytes:
    """`page` as PDF/A-3a with the files `attached`; pictures come from the page itself, other addresses are refused."""
    inside = URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)
    when = datetime.fromtimestamp(timestamp, UTC)
    files = [
        Attachment(
            string=data, base_url="about:blank", name=name, relationship="Data", created=when, modified=when
        )
        for name, data in attached.items()
    ]
    page_of = HTML(string=page, base_url="about:blank", url_fetcher=inside)
    return bytes(page_of.write_pdf(pdf_variant="pdf/a-3a", attachments=files))


def _unpacked(stream: BinaryIO) -> tuple[str, dict[str, bytes]]:
    """A line of JSON with the sizes, then the page and each file."""
    head = json.loads(stream.readline())
    page = stream.read(head["page"]).decode()
    return page, {name: stream.read(size) for name, size in head["attached"].items()}


def main() -> int:
    """Run the press within the memory given as the first argument, in bytes; the second dates what is attached."""
    limit, timestamp = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on fonts, not on pages
    try:
        sys.stdout.buffer.write(press(*_unpacked(sys.stdin.buffer), timestamp=timestamp))
    except MemoryError:
        return MachineFault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
