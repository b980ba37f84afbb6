"""One training and the audit of its series."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers.utils import logging

from audit.series import audit_series, members
from tests.series.scoring import Trained
from tests.series.training import divergence, train

STEPS, EVERY, TOKENS, SAMPLES = 400, 25, 64, 32
METRICS = (
    "freezing",
    "attention_entropy",
    "token_similarity",
    "token_similarity_without_sink",
    "query_key_norm",
)


def followed(seed: int, rate: float, *, keep: Path | None = None, steps: int = STEPS) -> Trained:
    """One training, its series audited; report and store go into `keep`, if given."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    with TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        losses = train(run, seed=seed, rate=rate, steps=steps, every=EVERY)
        options = {
            "depth": "quick",
            "samples": SAMPLES,
            "max_length": TOKENS,
            "metrics": METRICS,
            "confirm": False,
        }
        done = audit_series(
            members([run], options), store=keep or Path(scratch) / "audits", pdf=keep is not None
        )
        print(f"rate {rate:g}, seed {seed}: {done.folder}", file=sys.stderr, flush=True)
        first = done.trend.warnings[0] if done.trend.warnings else None
        return Trained(
            seed=seed,
            rate=rate,
            losses=tuple(losses),
            diverged=divergence(losses),
            warned=first.step * EVERY if first else None,
            kind=first.kind if first else "",
            highest=max(point.value or 0.0 for point in done.trend.drifts[0].points),
        )
