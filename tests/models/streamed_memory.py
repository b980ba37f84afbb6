"""Looks at a checkpoint with little memory: prints the anonymous memory it took, the seconds, and the weights read.

Arguments: the checkpoint, bytes (0: all of it in memory), and optionally tokens and samples.
"""

import json
import sys
import threading
import time
from functools import partial
from pathlib import Path

from audit import catalog
from audit.benchmark.cases import batches_of
from audit.benchmark.comparison import at_once
from audit.checkpoint.opening import open_checkpoint
from audit.measure import Recorder
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.models.observing import in_step, observe
from audit.models.streaming import Room
from tests.architectures import tiny_model

TOKENS, SAMPLES = 32, 8  # in two batches


class Anonymous(threading.Thread):
    """Follows how much memory of this process is backed by no file, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.most = self.now()
        self._over = threading.Event()

    def now(self) -> int:
        """At this moment."""
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    def run(self) -> None:
        """Until told to stop."""
        while not self._over.wait(0.002):
            self.most = max(self.most, self.now())

    def stop(self) -> int:
        """The most there was beyond the beginning."""
        self._over.set()
        self.join()
        return self.most - self.before


if __name__ == "__main__":
    metrics = [metric for metric in catalog.metrics().values() if "quick" in metric.depths]
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    tokens, samples = map(int, sys.argv[3:5]) if len(sys.argv) > 3 else (TOKENS, SAMPLES)
    survey(tiny_model("llama"))  # what is imported on first use belongs to the program
    followed = Anonymous()
    followed.start()
    opened = open_checkpoint(folder)
    start = time.perf_counter()
    loaded = load_model(opened, room=Room(size, folder) if size else None)
    ready = time.perf_counter()
    layers = survey(loaded.model)
    streamed = loaded.streamed
    before = streamed.bytes_read if streamed else 0
    batches = batches_of(loaded.model, tokens, samples, at_once(samples))
    recorder = Recorder(metrics, layers, samples)
    looks = [partial(observe, loaded.model, batch, recorder.of(batch), layers=layers) for batch in batches]
    list(in_step(loaded, looks, layers=layers))
    read = streamed.bytes_read - before if streamed else 0
    json.dump(
        {
            "anonymous": followed.stop(),
            "whole": followed.most,
            "loading": ready - start,
            "passes": time.perf_counter() - ready,
            "read": read,
            "batches": len(batches),
            "values": {name: values[0].sum() for name, values in recorder.values.items()},
        },
        sys.stdout,
    )
