"""Benchmarks as ratios within one run: what an audit costs beside the bare forward passes of the same tokens."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INPUTS = Path(__file__).parent.parent / ".cache" / "inputs"
SUBJECTS = {
    "MiniLM": INPUTS / "all-MiniLM-L6-v2",
    "SmolLM2 (GGUF)": INPUTS / "SmolLM2-135M-Instruct" / "SmolLM2-135M-Instruct.Q4_1.gguf",
}
ALLOWANCE = 20.0  # seconds beside three times the passes: start, loading, report

# The bare passes: the same windows through the same model, plain SDPA, nothing observed.
_BARE = """
import sys, time, torch
from pathlib import Path
from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.models.inputs import model_inputs
from audit.models.loading import load_model
from audit.results import Plan
from audit.run import cut
loaded = load_model(open_checkpoint(Path(sys.argv[1])))
loaded.model.set_attn_implementation("sdpa")
windows = cut(catalog.probes()["prose"], loaded, Plan(depth="quick"))
with torch.inference_mode():
    loaded.model(**model_inputs(loaded.model, windows.batches[0]).inputs)
    start = time.perf_counter()
    for batch in windows.batches:
        loaded.model(**model_inputs(loaded.model, batch).inputs)
print(time.perf_counter() - start)
"""


def main(rounds: int = 3) -> int:
    """Print a row per model; exit code 1 when an audit costs more than 3x its passes plus 20 s."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count())}
    worst = 0.0
    print("| model | bare passes (s) | audit, PDF included (s) | allowed: 3 x passes + 20 (s) |")
    print("|---|---|---|---|")
    for name, path in SUBJECTS.items():
        passes = _median([_bare(path, environment) for _ in range(rounds)])
        whole = _median([_audit(path, environment) for _ in range(rounds)])
        allowed = 3 * passes + ALLOWANCE
        worst = max(worst, whole / allowed)
        print(f"| {name} | {passes:.2f} | {whole:.2f} | {allowed:.2f} |", flush=True)
    return int(worst > 1)


def _bare(path: Path, environment: dict[str, str]) -> float:
    command = [sys.executable, "-P", "-c", _BARE, str(path)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def _audit(path: Path, environment: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory() as store:
        command = [str(Path(sys.executable).parent / "attnaudit"), "run", str(path), "--depth", "quick"]
        start = time.perf_counter()
        done = subprocess.run([*command, "-o", store], env=environment, capture_output=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode not in (0, 1) or not list(Path(store).glob("*/report.pdf")):
            raise SystemExit(f"the audit of {path.name} failed: {done.stderr.decode()}")
    return seconds


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
