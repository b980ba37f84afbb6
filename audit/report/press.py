"""The child that sets a PDF: HTML on standard input, PDF on standard output, nothing fetched from anywhere."""

import logging
import resource
import sys

from weasyprint import HTML
from weasyprint.urls import URLFetcher

from audit.errors import MachineFault


def press(page: str) -> bytes:
    """`page` as PDF/A-3a; pictures come from the page itself, every other address is refused."""
    inside = URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)
    return bytes(
        HTML(string=page, base_url="about:blank", url_fetcher=inside).write_pdf(pdf_variant="pdf/a-3a")
    )


def main() -> int:
    """Run the press within the memory given as the first argument, in bytes."""
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on fonts, not on pages
    try:
        sys.stdout.buffer.write(press(sys.stdin.buffer.read().decode()))
    except MemoryError:
        return MachineFault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
