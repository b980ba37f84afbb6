"""Keeps an attempt's lease alive from a thread of its own, so that nothing the attempt does can delay it."""

import logging
import threading
from types import TracebackType
from typing import Literal, Self

from workers.connections import TRANSIENT
from workers.ledger.ledger import Ledger
from workers.ledger.records import Claim
from workers.settings import Settings

_LOG = logging.getLogger(__name__)


class Heartbeat:
    """Renews the lease until the end of the block; `standing` says whether the job is still ours."""

    def __init__(self, claim: Claim, ledger: Ledger, settings: Settings) -> None:
        self._claim, self._ledger, self._settings = claim, ledger, settings
        self._told: tuple[str, int, int] = ("starting", 0, 0)
        self.peak = 0  # bytes
        self.standing: Literal["held", "cancelled", "lost"] = "held"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def note(self, stage: str, done: int, total: int) -> None:
        """Progress to be told with the next beat."""
        self._told = (stage, done, total)

    @property
    def stage(self) -> str:
        """The last stage noted."""
        return self._told[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=self._settings.heartbeat)

    def _beat(self) -> None:
        """Beats often while there is progress to tell; the lease is renewed with each."""
        last: tuple[str, int, int] | None = None
        quiet = 0.0
        step = min(1.0, self._settings.heartbeat)
        while not self._over.wait(step) and self.standing == "held":
            quiet += step
            if self._told != last or quiet >= self._settings.heartbeat:
                last, quiet = self._told, 0.0
                self._renew(*last)

    def _renew(self, stage: str, done: int, total: int) -> None:
        try:
            self.standing = self._ledger.renew(
                self._claim, lease=self._settings.lease, stage=stage, done=done, total=total, peak=self.peak
            )
        except TRANSIENT as error:
            _LOG.warning("job %s: its lease could not be renewed yet: %s", self._claim.id, error)
