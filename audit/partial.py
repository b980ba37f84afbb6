"""What was measured of a piece of a probe, by an attempt that died since or by another process that is at it too.

One file for each piece, replaced after a batch.
"""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from audit.identity import digest_of
from audit.kept import Kept
from audit.measure import Recorder
from audit.probes.sampling import Feed
from audit.request import Request
from audit.sharing import shared_in

_FORMAT: Final = 2
_SHARE: Final = 0.05  # of the time may go into keeping


class Partial:
    """The state of one piece's recorder; without a folder nothing is kept and nothing is known."""

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._file = Kept(folder, identity)
        self._saved, self._took = time.monotonic(), 0.0  # when, and in how many seconds

    @classmethod
    def of(cls, asked: Request, fed: Feed, recorder: Recorder, number: int) -> Self:
        """The one of a piece of `fed`: the same numbers to the bit need the same batches and as many threads."""
        plan = asked.plan
        about = [
            _FORMAT,
            asked.measurement_id,
            fed.name,
            fed.digest,
            plan.batch_size,
            torch.get_num_threads(),
            recorder.metrics,
            number,
        ]
        return cls(shared_in(), digest_of(about))

    def taken(self) -> AbstractContextManager[bool]:
        """Whether nobody else works on the piece during the block; a process that dies lets go of it."""
        return self._file.taken()

    def restore(self, recorder: Recorder, seen: set[int]) -> int:
        """How many batches are done already, their results and the layers they showed being entered."""
        try:
            data = self._file.read()
            state = load(data) if data else {}
        except SafetensorError:
            return 0
        if not state:
            return 0
        seen |= set(state.pop("seen").tolist())
        done = int(state.pop("done")[0])
        recorder.restore(state)
        return done

    def keep(self, done: int, recorder: Recorder, seen: set[int], *, last: bool = False) -> None:
        """Keep the state after `done` batches, unless it is not the `last` and would take too much of the time."""
        began = time.monotonic()
        if not self._file.lasts or (not last and self._took > _SHARE * (began - self._saved)):
            return
        state = {"done": np.array([done]), "seen": np.array(sorted(seen), np.int64), **recorder.state()}
        self._file.write(save(state))
        self._saved = time.monotonic()
        self._took = self._saved - began
