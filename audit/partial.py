"""What an attempt had measured before it died, taken up by the next attempt at the same measurement.

One file for each probe, replaced after a batch. It begins with a digest over what it belongs to and what it holds:
another measurement's state, a torn or an edited file is as good as none.
"""

import hashlib
import time
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from audit.identity import digest_of
from audit.measure import Recorder
from audit.probes.sampling import Feed
from audit.request import Request

_FORMAT: Final = 1
_DIGEST: Final = 32  # bytes
_SHARE: Final = 0.05  # of the time may go into keeping


class Partial:
    """The state of one probe's recorder; without a folder nothing is kept and nothing is known."""

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._path = folder / f"{identity}.part" if folder else None
        self._identity = identity
        self._saved, self._took = time.monotonic(), 0.0  # when, and in how many seconds

    @classmethod
    def of(cls, folder: Path | None, asked: Request, fed: Feed) -> Self:
        """The one of `fed`: the same numbers to the bit need the same batches and as many threads.

        Which metrics are to be measured depends on what stands in the store.
        """
        plan = asked.plan
        about = [
            _FORMAT,
            asked.measurement_id,
            fed.name,
            fed.digest,
            [metric.name for metric in asked.metrics],
            plan.batch_size,
            torch.get_num_threads(),
        ]
        return cls(folder, digest_of(about))

    def restore(self, recorder: Recorder, seen: set[int]) -> int:
        """How many batches are done already, their results and the layers they showed being entered."""
        try:
            data = self._path.read_bytes() if self._path else b""
            if data[:_DIGEST] != self._digest(data[_DIGEST:]):
                return 0
            state = load(data[_DIGEST:])
        except (OSError, SafetensorError):
            return 0
        seen |= set(state.pop("seen").tolist())
        done = int(state.pop("done")[0])
        recorder.restore(state)
        return done

    def keep(self, done: int, recorder: Recorder, seen: set[int]) -> None:
        """Keep the state after `done` batches, unless keeping would take too much of the time."""
        began = time.monotonic()
        if self._path is None or self._took > _SHARE * (began - self._saved):
            return
        state = {"done": np.array([done]), "seen": np.array(sorted(seen), np.int64), **recorder.state()}
        try:
            self._write(self._path, save(state))
        except OSError:  # a full disk will be told by what cannot do without it
            self._path = None
        self._saved = time.monotonic()
        self._took = self._saved - began

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{time.monotonic_ns()}")
        fresh.write_bytes(self._digest(data) + data)
        fresh.replace(path)

    def _digest(self, data: bytes) -> bytes:
        return hashlib.sha256(self._identity.encode() + data).digest()
