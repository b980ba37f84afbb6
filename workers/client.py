"""The Python door to the queue: submit, look, wait, cancel."""

import getpass
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from audit.errors import MachineFault, UnusableInput
from audit.results import Plan
from workers.app import make_app
from workers.batches import Batches, Standing
from workers.connections import TRANSIENT, connected, without_secret
from workers.helpers import call_helpers, check_shards, helpers_of
from workers.hints import ENOUGH, hint
from workers.jobs import Job, State
from workers.ledger.ledger import Ledger
from workers.message import Message, checked, usable_id
from workers.settings import Settings

_OFTEN: Final = 0.1  # seconds between two looks at a job that is waited for
_SELDOM: Final = 0.5  # the same for a batch
_OUTAGE: Final = 120.0  # seconds that waiting outlives a server that is away


class Client:
    """A client of the queue at `url`.

    `Client("redis://host/0")`, or `Client("unix:///path/to/valkey.sock")` for `attnaudit serve`.
    """

    def __init__(self, url: str, *, namespace: str = "attnaudit", queue_limit: int = 1_000_000) -> None:
        self._url = url
        self._redis = connected(url, retries=3)
        self._limit = queue_limit
        self.ledger = Ledger(self._redis, namespace=namespace)
        self.batches = Batches(self.ledger, namespace=namespace)
        self._app = make_app(Settings(redis_url=url, store=Path(), namespace=namespace))

    def submit(
        self,
        checkpoint: str,
        plan: Plan | None = None,
        *,
        policy: str | None = None,
        adapter: str | None = None,
        priority: int = 5,
        requested_by: str | None = None,
        pdf: bool = True,
        force: bool = False,
        job_id: str | None = None,
        shards: int = 1,
        told: Callable[[str], None] = lambda _: None,
    ) -> str:
        """The id of the accepted job, which is on the server's disk now; paths are relative to the model root.

        With a `job_id` of your own, submitting again after a lost answer is the same job. It is shared by `shards`
        workers, where so many are free; `told` hears why fewer will, if so. Raises UnusableInput, MachineFault.
        """
        plan = plan or Plan()
        check_shards(shards, plan)
        message = checked(
            Message(
                checkpoint=checkpoint,
                plan=plan,
                policy=policy,
                adapter=adapter,
                priority=priority,
                requested_by=_user() if requested_by is None else requested_by,
                pdf=pdf,
                force=force,
            )
        )
        job_id = job_id or str(uuid.uuid4())
        if not all(map(usable_id, (job_id, *helpers_of(job_id, shards)))):
            raise UnusableInput(f"job id {job_id[:80]!r}: use up to 128 letters, digits, '_' and '-'")
        self._enter(job_id, message)
        if why := call_helpers(self._enter, job_id, message, shards=shards):
            told(why)
        return job_id

    def _enter(self, job_id: str, message: Message) -> None:
        with _out_of_reach(self._url):
            accepted = self.ledger.accept(job_id, message, limit=self._limit)
        if accepted.outcome == "accepted" and accepted.depth <= ENOUGH:
            hint(self._app)

    def status(self, job_id: str) -> Job:
        """The job as it stands; UnusableInput where there is none of that id."""
        with _out_of_reach(self._url):
            return self.ledger.job(job_id)

    def jobs(self, state: State | None = None, *, first: int = 0, limit: int = 100) -> tuple[Job, ...]:
        """A page of jobs: newest first; queued and running ones in their order."""
        with _out_of_reach(self._url):
            return self.ledger.jobs(state, first=first, limit=limit)

    def cancel(self, job_id: str) -> str:
        """The state the job was in: queued and running ones are cancelled now, final ones stay."""
        with _out_of_reach(self._url):
            return self.ledger.cancel(job_id)

    def wait(
        self, job_id: str, *, timeout: float | None = None, seen: Callable[[Job], None] = lambda _: None
    ) -> Job:
        """The job once it is final; MachineFault after `timeout` seconds. `seen` gets it at each look.

        A server that restarts meanwhile is waited for.
        """
        self.status(job_id)
        began = reached = time.monotonic()
        while True:
            try:
                job = self.ledger.job(job_id)
                reached = time.monotonic()
                seen(job)
                if job.is_final:
                    return job
            except TRANSIENT as error:
                if time.monotonic() - reached > _OUTAGE:
                    raise _unreachable(self._url, error) from None
            if timeout is not None and time.monotonic() - began > timeout:
                raise MachineFault(f"job {job_id} is not final after {timeout:g} s")
            time.sleep(_OFTEN)

    def submit_batch(self, name: str, messages: Sequence[tuple[str, Message]], *, pdf: bool = True) -> str:
        """The id of the accepted batch of (name in the report, message); its report is written when the last job ends.

        One that asks for the same and is not over yet is that one. Raises UnusableInput, MachineFault.
        """
        for _, message in messages:
            checked(message)
        with _out_of_reach(self._url):
            batch = self.batches.open(name, messages, pdf=pdf)
            self.batches.enter(batch, limit=self._limit)
        hint(self._app)
        return batch

    def wait_batch(self, batch: str, *, seen: Callable[[Standing], None] = lambda _: None) -> Standing:
        """The batch once its report is published; `seen` gets it at each look. A server that restarts is waited for."""
        reached = time.monotonic()
        while True:
            try:
                standing = self.batches.standing(batch)
                reached = time.monotonic()
                seen(standing)
                if standing.report:
                    return standing
            except TRANSIENT as error:
                if time.monotonic() - reached > _OUTAGE:
                    raise _unreachable(self._url, error) from None
            time.sleep(_SELDOM)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._app.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _out_of_reach:  # noqa: N801 - reads as a clause
    """Turns a server that cannot be reached into one line."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (*TRANSIENT, OSError)):
            raise _unreachable(self._url, error) from None


def _unreachable(url: str, error: Exception) -> MachineFault:
    return MachineFault(
        f"cannot reach the queue at {without_secret(url)}: {error}; start it with `attnaudit serve`, "
        "or set ATTNAUDIT_REDIS_URL"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
