"""Keeps the store's front page, `index.html`: rebuilt when something is published, and never the reason that it fails."""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from audit.report import shelf
from audit.report.shelf_page import drawn

PAGE: Final = "index.html"
LOCK: Final = ".catalogue.lock"
PATIENCE: Final = 10.0  # seconds to wait for another publication's rebuild
_LOG: Final = logging.getLogger(__name__)


def shelve(store: Path) -> bool:
    """Rebuild the page after a publication; False, and a line in the log, where that did not work."""
    try:
        rebuild(store)
    except Exception as error:  # noqa: BLE001 - what was published stands, whatever its list says
        _LOG.warning("the list of %s was not rebuilt: %s: %s", store, type(error).__name__, error)
        return False
    return True


def rebuild(store: Path, *, everything: bool = False) -> Path:
    """The page, complete as of now; with `everything`, audits that no publication has listed yet are read too.

    Two at once take turns, and the second sees what the first published. Raises OSError, or TimeoutError where another
    one does not end.
    """
    with _turn(store):
        rows, left = shelf.rows_of(store, everything=everything)
        page = drawn(rows, left, shelf.batches_of(store), shelf.comparisons_of(store))
        shelf.keep(store, rows)
        fresh = store / f".{PAGE}"
        fresh.write_text(page, encoding="utf-8")
        fresh.replace(store / PAGE)
    return store / PAGE


@contextmanager
def _turn(store: Path) -> Iterator[None]:
    """Hold the store's lock, which the system takes back from whoever dies."""
    until = time.monotonic() + PATIENCE
    with (store / LOCK).open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process holds {LOCK}") from None
                time.sleep(0.02)
        yield
