"""Makes the records that a trainer leaves, as Hugging Face's Trainer writes them."""

import json
import math
import random
from pathlib import Path
from typing import Any

EVERY, LINES = 10, 120


def log(**changes: Any) -> list[dict[str, Any]]:
    """120 lines of a healthy fine-tuning, 12 of them warm-up; `changes` map a field to {line: factor or value}."""
    generator = random.Random(0)
    lines = []
    for line in range(1, LINES + 1):
        entry = {
            "epoch": line / 40,
            "grad_norm": 1 + 0.3 * generator.random(),
            "learning_rate": 2e-4 * min(line / 12, (121 - line) / 109),
            "loss": round(1.5 + math.exp(-line / 10) + generator.gauss(0, 0.05), 4),
            "step": line * EVERY,
        }
        for field, by_line in changes.items():
            entry[field] *= by_line.get(line, 1.0)
        lines.append(entry)
        if line % 40 == 0:
            lines.append({"epoch": line / 40, "eval_loss": 1.6, "eval_runtime": 1.0, "step": line * EVERY})
    return [*lines, {"epoch": 3.0, "step": LINES * EVERY, "train_loss": 1.6, "total_flos": 1e15}]


def state(history: Any, **changes: Any) -> dict[str, Any]:
    """The whole file."""
    fields = {"best_model_checkpoint": None, "epoch": 3.0, "global_step": 1200, "max_steps": 1200}
    return fields | {"log_history": history} | changes


def write(folder: Path, history: Any, **changes: Any) -> Path:
    """`trainer_state.json` in `folder`, with NaN and Infinity as Python's json writes them."""
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(state(history, **changes), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


NAN, INF = float("nan"), float("inf")
SPIKY = {"loss": {60: 2.5, 90: 2.2}, "grad_norm": {60: 12.0, 90: 15.0}}
DIVERGED = {field: dict.fromkeys(range(101, 121), NAN) for field in ("loss", "grad_norm")}
RISING = {"loss": {line: 1 + (line - 60) / 40 for line in range(61, 121)}}
