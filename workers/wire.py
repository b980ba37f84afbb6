"""What a worker, its fork server and an audit's process say to each other: JSON, one record a line."""

import os
from typing import Final

import msgspec

from audit.results import Plan

_CHUNK: Final = 65_536


class Run(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Worker to fork server: make this audit."""

    label: str
    checkpoint: str
    root: str
    store: str
    plan: Plan
    policy: str | None = None
    adapter: str | None = None
    pdf: bool = True
    force: bool = False
    threads: int | None = None  # what the operator gives an audit that does not say
    helps: bool = False  # make what is free of it, and publish nothing
    allow_pickle: bool = False  # whether the operator lets a plan ask for it


class Granted(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Worker to child: whether this attempt may become visible."""

    label: str
    granted: bool


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Fork server to worker: it takes work; `warm` = the imports are done."""

    warm: bool


class Born(msgspec.Struct, frozen=True, tag=True):
    """Fork server to worker: the child's process id."""

    pid: int


class Stage(msgspec.Struct, frozen=True, tag=True):
    """Child to worker: how far it is."""

    name: str
    done: int
    total: int


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Child to worker: the audit is whole; may it become visible?"""

    audit_id: str


class Published(msgspec.Struct, frozen=True, tag=True):
    """Child to worker: the audit stands in the store."""

    audit_id: str
    verdict: str
    exit_code: int
    seconds: float = 0.0  # from the process's first word to its last


class Helped(msgspec.Struct, frozen=True, tag=True):
    """Child to worker: nothing is left that it could measure for another job."""

    seconds: float = 0.0


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Child to worker: there will be no audit, and why; `again` = another attempt may fare better."""

    reason: str
    exit_code: int
    again: bool


class Exited(msgspec.Struct, frozen=True, tag=True):
    """Fork server to worker: the child is gone."""

    code: int | None
    signal: int | None
    peak_bytes: int


Order = Run | Granted
Event = Ready | Born | Stage | Commit | Published | Helped | Failed | Exited


class Line:
    """One end of the conversation, on two file descriptors; nothing is read beyond the line that was asked for."""

    def __init__(self, read_from: int, write_to: int) -> None:
        self._read, self._write = read_from, write_to
        self._encoder = msgspec.json.Encoder()
        self._orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)

    @property
    def reading(self) -> int:
        """The descriptor that orders come from."""
        return self._read

    @property
    def writing(self) -> int:
        """The descriptor that events go to."""
        return self._write

    def say(self, event: Event) -> None:
        """Send one record; a line break before it ends whatever a killed process left half-written."""
        os.write(self._write, b"\n" + self._encoder.encode(event) + b"\n")

    def next_order(self) -> Order | None:
        """The next order; None at the end of the worker."""
        data = bytearray()
        while (byte := os.read(self._read, 1)) != b"\n":
            if not byte:
                return None
            data += byte
        return self._orders.decode(bytes(data))


class Events:
    """Cuts what arrives into events; what is no event is dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)

    def feed(self, data: bytes) -> list[Event]:
        """The events that are whole now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines if line and (event := self._event(line))]

    def _event(self, line: bytes) -> Event | None:
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError:
            return None


def read_some(descriptor: int) -> bytes:
    """What is there to read; empty at the end."""
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""
