"""One attempt at one job: hands it to a child process, watches it, and enters how it ended."""

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from audit import store as stores
from audit.errors import UnusableInput
from audit.outcomes import VERDICT_CODES
from workers.childprocess import ChildProcess
from workers.connections import TRANSIENT
from workers.heartbeat import Heartbeat
from workers.jobs import Death
from workers.ledger.ledger import Ledger
from workers.ledger.records import Claim
from workers.message import Message, decoded
from workers.schedule import dated
from workers.settings import Settings
from workers.watchdog import Watchdog
from workers.wire import Born, Commit, Event, Exited, Failed, Granted, Helped, Published, Ready, Run, Stage

OUTCOMES: Final = ("published", "helped", "failed", "died", "released", "lost")
_TICK: Final = 0.1  # seconds between two looks at memory and time
_PAUSE: Final = 1.0  # seconds before the ledger is asked again
_LOG = logging.getLogger(__name__)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over."""

    job_id: str
    outcome: str  # one of OUTCOMES
    seconds: float
    own_seconds: float  # of the audit itself; 0 where it did not tell
    peak_bytes: int


class Attempt:
    """Runs a claim to its end; `stopping` asks it to give the job back, after the grace period."""

    def __init__(
        self,
        claim: Claim,
        *,
        ledger: Ledger,
        child: ChildProcess,
        settings: Settings,
        stopping: threading.Event,
    ) -> None:
        self._claim, self._ledger, self._child = claim, ledger, child
        self._settings, self._stopping = settings, stopping
        self._beat = Heartbeat(claim, ledger, settings)
        self._began = time.monotonic()
        self._asked_to_stop: float | None = None
        self._watchdog = Watchdog()
        self._granted: str | None = None
        self._ended: Published | Helped | Failed | None = None
        self._exited: Exited | None = None
        self._killed_for: str | None = None
        self._born = False

    def run(self) -> Ended:
        """The attempt from its first order to its entry in the ledger."""
        try:
            message = decoded(self._claim.message)
        except UnusableInput as error:
            return self._over("failed", self._failed(str(error), error.exit_code))
        with self._beat:
            self._child.tell(self._order(message))
            gone = self._watch()
            self._sweep()
            return self._entered(gone, message)

    def _order(self, message: Message) -> Run:
        settings = self._settings
        return Run(
            label=self._claim.label,
            checkpoint=message.checkpoint,
            root=str((settings.model_root or settings.store).absolute()),
            store=str(settings.store.absolute()),
            plan=message.plan,
            policy=message.policy,
            adapter=message.adapter,
            pdf=message.pdf,
            force=message.force,
            helps=message.helps is not None,
            threads=settings.threads,
            allow_pickle=settings.allow_pickle,
        )

    def _watch(self) -> str:
        """Hear the child to its end; says how the process went."""
        while (events := self._child.hear(_TICK)) is not None:
            for event in events:
                self._on(event)
            if self._exited:
                return _described(self._exited)
            self._measure()
            if not self._killed_for and (reason := self._reason_to_kill()):
                self._killed_for = reason
                self._child.kill_child()
        return "its process was killed together with its fork server"

    def _on(self, event: Event) -> None:
        match event:
            case Stage():
                self._beat.note(event.name, event.done, event.total)
            case Born():
                self._born = True
                self._watchdog.follow(event.pid)
            case Commit():
                self._beat.note("publishing", 0, 1)
                answer = self._persist(lambda: self._ledger.grant(self._claim, event.audit_id))
                self._granted = event.audit_id if answer else None
                self._child.tell(Granted(label=self._claim.label, granted=bool(answer)))
            case Published() | Helped() | Failed():
                self._ended = event
            case Exited():
                self._exited = event
            case Ready():
                pass

    def _measure(self) -> None:
        self._beat.peak = max(self._beat.peak, self._watchdog.look())

    def _reason_to_kill(self) -> str | None:
        """Why the child must go: memory, time, a cancelled or lost job, or a worker that stops."""
        limits = self._settings
        if limits.memory_limit and self._beat.peak > limits.memory_limit:
            return f"used more than its {limits.memory_limit / 2**20:.0f} MiB of memory"
        if time.monotonic() - self._began > limits.time_limit:
            return f"took more than its {limits.time_limit:g} s"
        if self._beat.standing != "held":
            return self._beat.standing
        if self._stopping.is_set():
            self._asked_to_stop = self._asked_to_stop or time.monotonic()
            if time.monotonic() - self._asked_to_stop > limits.grace:
                return "stopping"
        return None

    def _entered(self, gone: str, message: Message) -> Ended:
        """Write the end into the ledger, however long the ledger takes to come back."""
        if self._exited:
            self._beat.peak = max(self._beat.peak, self._exited.peak_bytes)
        if published := self._ended if isinstance(self._ended, Published) else self._published_unsaid():
            return self._over("published", self._published(published, message))
        if isinstance(self._ended, Helped):
            return self._over("helped", self._helped(message))
        if isinstance(self._ended, Failed) and not self._ended.again:
            return self._over("failed", self._failed(self._ended.reason, self._ended.exit_code))
        if self._killed_for == "stopping" or not self._born:  # neither is the job's fault
            return self._over("released", self._persist(lambda: self._ledger.release(self._claim)))
        how = self._ended.reason if isinstance(self._ended, Failed) else (self._killed_for or gone)
        return self._over("died", self._died(how))

    def _published_unsaid(self) -> Published | None:
        """The child died between the rename and its last word: the audit stands in the store."""
        if not self._granted or not stores.exists(self._settings.store, self._granted):
            return None
        audit = stores.read(self._settings.store / self._granted)
        return Published(audit.audit_id, audit.verdict, VERDICT_CODES[audit.verdict])

    def _published(self, end: Published, message: Message) -> bool | None:
        dated.leave(
            self._settings.store,
            job=self._claim.id,
            requested_by=message.requested_by,
            checkpoint=message.checkpoint,
            audit_id=end.audit_id,
        )
        return self._persist(
            lambda: self._ledger.publish(
                self._claim.id,
                self._claim.token,
                audit_id=end.audit_id,
                verdict=end.verdict,
                exit_code=end.exit_code,
            )
        )

    def _helped(self, message: Message) -> bool | None:
        return self._persist(lambda: self._ledger.helped(self._claim, f"it helped job {message.helps}"))

    def _failed(self, reason: str, exit_code: int) -> bool | None:
        return self._persist(lambda: self._ledger.fail(self._claim, reason, exit_code=exit_code))

    def _died(self, how: str) -> bool | None:
        death = Death(
            attempt=self._claim.attempt,
            how=how,
            stage=self._beat.stage,
            peak_bytes=self._beat.peak,
            seconds=round(time.monotonic() - self._began, 1),
            worker=self._settings.worker,
        )
        limit = self._settings.max_attempts
        answer = self._persist(lambda: self._ledger.died(self._claim, death, limit=limit))
        return answer is not None and answer != "lost"

    def _persist(self, transition: Callable[[], Answer]) -> Answer | None:
        """The ledger's answer, asked until it comes; None where the worker must stop first."""
        while True:
            try:
                return transition()
            except TRANSIENT as error:
                _LOG.warning("job %s: the ledger is out of reach: %s", self._claim.id, error)
                if self._stopping.wait(_PAUSE):
                    return None  # the lease runs out and another worker finds what is in the store

    def _sweep(self) -> None:
        """Remove what a killed child left of this attempt."""
        for folder, name in stores.attempts(self._settings.store).items():
            if name.startswith(self._claim.label):
                shutil.rmtree(folder, ignore_errors=True)

    def _over(self, outcome: str, entered: bool | None) -> Ended:
        seconds = time.monotonic() - self._began
        own = 0.0 if self._ended is None or isinstance(self._ended, Failed) else self._ended.seconds
        return Ended(self._claim.id, outcome if entered else "lost", seconds, own, self._beat.peak)


def _described(exited: Exited) -> str:
    if exited.signal is None:
        return f"its process exited with code {exited.code}"
    return f"killed by signal {exited.signal} ({signal.Signals(exited.signal).name})"
