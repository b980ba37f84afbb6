"""A small HTTP server for instruments: /metrics, /live, /ready."""

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from audit.errors import MachineFault, UnusableInput

_LOG = logging.getLogger(__name__)


class Health(NamedTuple):
    """An answer of /live or /ready."""

    is_well: bool
    line: str


def serve(
    address: str, *, registry: CollectorRegistry, live: Callable[[], Health], ready: Callable[[], Health]
) -> ThreadingHTTPServer:
    """Listen at `host:port` from a thread; UnusableInput or MachineFault where that cannot be."""
    host, port = _split(address)

    class Handler(BaseHTTPRequestHandler):
        """Answers three paths."""

        timeout = 10  # seconds a silent client may keep a thread

        def do_GET(self) -> None:
            """Answer."""
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path in {"/live", "/ready"}:
                health = live() if self.path == "/live" else ready()
                self._answer(200 if health.is_well else 503, f"{health.line}\n".encode(), "text/plain")
            else:
                self._answer(404, b"/metrics, /live or /ready\n", "text/plain")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Scrapes are not worth a line."""

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    try:
        server = ThreadingHTTPServer((host or "127.0.0.1", port), Handler)
    except OSError as error:
        raise MachineFault(
            f"cannot listen at {address!r}: {error}; set ATTNAUDIT_HTTP to a free port"
        ) from None
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    _LOG.info("instruments at http://%s:%d/metrics", *server.server_address[:2])
    return server


def shifted(address: str, by: int) -> str:
    """The address with its port moved up by so much, for processes side by side; port 0 stays any free one."""
    if not address:
        return ""
    host, port = _split(address)
    return f"{host}:{port + by if port else 0}"


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise UnusableInput(f"ATTNAUDIT_HTTP={address!r} is not host:port")
    return host, int(port)
