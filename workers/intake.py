"""Enters the documented message, from whatever Celery client, into the ledger; every worker does, busy or not."""

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps
from kombu import Consumer, Message, Queue, compression

from audit.errors import AuditError, UnusableInput
from workers.app import SUBMIT
from workers.ledger.ledger import Ledger
from workers.message import LARGEST, parsed, usable_id

_LOG = logging.getLogger(__name__)


def install(app: Celery, *, ledger: Ledger, queue: Queue, limit: int, work: Callable[[], None]) -> None:
    """Have each worker of `app` consume submissions beside its hints."""
    _refuse_compression()

    class Intake(bootsteps.ConsumerStep):  # type: ignore[misc]
        """Reads in the worker's own loop, which no audit ever blocks."""

        def get_consumers(self, channel: Any) -> list[Consumer]:
            """One consumer with a channel, hence a prefetch, of its own."""
            consumer = Consumer(channel, queues=[queue], on_message=self._on_message, accept=["json"])
            consumer.on_decode_error = lambda message, _: self._on_message(message)
            return [consumer]

        def _close(self, c: Any, cancel_consumers: bool = True) -> None:
            """Without a connection there is nothing to end, which the base class does not know."""
            if c.connection:
                super()._close(c, cancel_consumers)

        def _on_message(self, message: Message) -> None:
            if enter(message, ledger=ledger, limit=limit):
                work()
            message.ack()

    app.steps["consumer"].add(Intake)


def enter(message: Any, *, ledger: Ledger, limit: int) -> bool:
    """Whether the message became a job; one that cannot leaves a failed job with the reason."""
    job_id = message.headers.get("id")
    if not usable_id(job_id):
        _LOG.warning("a message without a usable task id was dropped")
        return False
    try:
        accepted = ledger.accept(job_id, parsed(_content(message)), limit=limit)
    except AuditError as error:
        _LOG.warning("job %s was refused: %s", job_id, error)
        ledger.refuse(job_id, str(error), exit_code=error.exit_code)
        return False
    return accepted.outcome == "accepted"


def _refuse_compression() -> None:
    """A few bytes could become gigabytes before anybody has looked at the message."""
    for kind in compression.encoders():
        compression.register(_refused, _refused, kind)


def _refused(_: bytes) -> bytes:
    raise UnusableInput("compressed messages are not read")


def _content(message: Any) -> Any:
    """The one argument of the documented task, positional or named `message`."""
    if message.headers.get("task") != SUBMIT:
        raise UnusableInput(f"task {str(message.headers.get('task'))[:80]!r} is unknown; send {SUBMIT!r}")
    if len(message.body or "") > 2 * LARGEST:  # base64 and Celery's envelope
        raise UnusableInput(f"message of {len(message.body)} bytes; a job has at most {LARGEST}")
    for _, error, _ in message.errors:  # of its envelope
        raise UnusableInput(f"message cannot be read: {error}")
    try:
        arguments, named, _ = message.decode()
    except Exception as error:  # noqa: BLE001 - no message may end the worker, whatever its reader raises
        raise UnusableInput(f"message cannot be read as a JSON task: {error}") from None
    if len(arguments) + len(named) != 1 or not (arguments or "message" in named):
        raise UnusableInput(f"{SUBMIT!r} takes one argument, the job message")
    return arguments[0] if arguments else named["message"]
