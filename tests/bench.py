"""Benchmarks as ratios within one run: what an audit costs beside the bare forward passes of the same tokens."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from audit.report.html import render_html
from tests.report.large import cost_of_print, large_audit

ROOT = Path(__file__).parent.parent
INPUTS = ROOT / ".cache" / "inputs"
SUBJECTS = {
    "MiniLM": INPUTS / "all-MiniLM-L6-v2",
    "SmolLM2 (GGUF)": INPUTS / "SmolLM2-135M-Instruct" / "SmolLM2-135M-Instruct.Q4_1.gguf",
}
ALLOWANCE = 10.0  # seconds beside three times the passes: start, loading, report

# The bare passes: the same windows through the same model, plain SDPA, nothing observed.
_BARE = """
import sys, time, torch
from pathlib import Path
from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.models.inputs import model_inputs
from audit.models.loading import load_model
from audit.results import Plan
from audit.feeding import cut
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

# Confirming 20 heads and 6 blocks, spread over the depth, beside plain passes that give all logits of the same texts.
_CONFIRMING = """
import sys, time, torch
from pathlib import Path
from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.interventions.candidates import Budget
from audit.interventions.confirm import confirm
from audit.models.coverage import survey
from audit.models.inputs import model_inputs
from audit.models.loading import load_model
from audit.results import Plan
from audit.feeding import cut
from tests.interventions.subjects import finding
samples = int(sys.argv[2])
loaded = load_model(open_checkpoint(Path(sys.argv[1])))
model, layers = loaded.model, survey(loaded.model)
texts = [cut(catalog.probes()["prose"], loaded, Plan(samples=samples))]
deep = len(layers)
heads = [finding("static_head", i * deep // 20, i % layers[0].heads) for i in range(20)]
blocks = [finding("redundant_layer", i * deep // 6) for i in range(6)]
def plain():
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in texts[0].batches:
            model(**model_inputs(model, batch, every_logit=True).inputs)
    return time.perf_counter() - start
model.set_attn_implementation("sdpa")
passes = [plain() for _ in range(3)]
start = time.perf_counter()
found = confirm(heads + blocks, loaded, layers=layers, detection=texts, confirmation=texts,
                budget=Budget(26, 30.0), seed=0)
seconds = time.perf_counter() - start
passes += [plain() for _ in range(2)]
tried = [c for c in found.by_finding.values() if "effect" in c.details]
assert len(tried) == 26, found.by_finding
print(seconds, sorted(passes)[2], found.passes)
"""
CONFIRMATION = 30.0  # plain passes that confirming may take in time

# Feeding, reading and testing three demographic axes, of which MiniLM treats one alike, one hardly and one far from
# alike, beside plain passes over the same sentences, in seconds of the CPU.
_SKEW = """
import sys, time, torch
from pathlib import Path
from audit.checkpoint.opening import open_checkpoint
from audit.models.inputs import model_inputs
from audit.models.loading import load_model
from audit.probes.demographics import axes
from audit.probes.matching import match
from audit.skew.design import SENTENCES, design
from audit.skew.readings import read
from audit.skew.testing import tested
from tests.skew.planting import ground_of
ground = ground_of(load_model(open_checkpoint(Path(sys.argv[1]))))
model, every = ground.loaded.model, axes()
designs = [design(axis, match(axis, ground.loaded.tokenizer), sentences=SENTENCES // len(every), seed=0)
           for axis in every if axis.name in ("ethnicity", "gender", "age")]
def plain(made):
    model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        for crossing in ground.sentences(made.axis, made.cells):
            model(**model_inputs(model, crossing.batch).inputs)
def skew(made):
    readings = read(model, made, ground.sentences(made.axis, made.cells), layers=ground.layers, seed=0)
    between = time.process_time()
    tested(readings, made, seed=0)
    tests.append(time.process_time() - between)
tests, spent = [], {plain: 0.0, skew: 0.0}
plain(designs[0])
for made in designs:
    for work in spent:
        start = time.process_time()
        work(made)
        spent[work] += time.process_time() - start
print(spent[plain], spent[skew] - sum(tests), sum(tests))
"""
DEMOGRAPHIC = 1.3  # plain passes that feeding, reading and testing demographic sentences may take

PRINTING = (15.0, 400.0, 25.0, 5.0)  # seconds of one core, MiB, pages, MB


def main(rounds: int = 3) -> int:
    """Print a row per model; exit code 1 where anything costs more than its table allows."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count())}
    worst = 0.0
    print("| model | bare passes (s) | audit, PDF included (s) | allowed: 3 x passes + 10 (s) |")
    print("|---|---|---|---|")
    for name, path in SUBJECTS.items():
        passes = _median([_bare(path, environment) for _ in range(rounds)])
        whole = _median([_audit(path, environment) for _ in range(rounds)])
        allowed = 3 * passes + ALLOWANCE
        worst = max(worst, whole / allowed)
        print(f"| {name} | {passes:.2f} | {whole:.2f} | {allowed:.2f} |", flush=True)
    ratio, skew, paper = confirming(), demographic(), printing()
    return int(worst > 1 or ratio > CONFIRMATION or skew > DEMOGRAPHIC or paper > 1)


def demographic(rounds: int = 3) -> float:
    """The most that demographic sentences cost, their tests too, in plain passes over them, of all models; printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    worst = 0.0
    print("\n| demographic sentences of | plain (s) | read, in plain passes | tested | together | allowed |")
    print("|---|---|---|---|---|---|")
    for name, path in SUBJECTS.items():
        command = [sys.executable, "-P", "-c", _SKEW, str(path)]
        runs = [
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            for _ in range(rounds)
        ]
        measured = [tuple(map(float, run.split())) for run in runs]
        plain, read, tests = sorted(measured, key=lambda each: (each[1] + each[2]) / each[0])[rounds // 2]
        read, tests = read / plain, tests / plain
        worst = max(worst, read + tests)
        print(
            f"| {name} | {plain:.1f} | {read:.2f} | {tests:.2f} | {read + tests:.2f} | {DEMOGRAPHIC} |",
            flush=True,
        )
    return worst


def printing() -> float:
    """The PDF of a synthetic audit of 32 x 32 heads, as the largest share of a budget that it takes; printed too."""
    with tempfile.TemporaryDirectory() as folder:
        cost = cost_of_print(large_audit(Path(folder)), Path(folder), timestamp=0)
        html = len(render_html(large_audit(Path(folder)), Path(folder)).encode()) / 1e6
    print("\n| PDF of 32 x 32 heads (s) | peak (MiB) | pages | its HTML (MB) | allowed |")
    print("|---|---|---|---|---|")
    allowed = ", ".join(f"{limit:g}" for limit in PRINTING)
    print(
        f"| {cost.seconds:.1f} | {cost.mebibytes:.0f} | {cost.pages} | {html:.1f} | {allowed} |", flush=True
    )
    return max(one / other for one, other in zip((*cost, html), PRINTING, strict=True))


def confirming(samples: int = 16) -> float:
    """Seconds of confirming 20 heads and 6 blocks of SmolLM2, in plain passes over the same texts; printed too."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", _CONFIRMING, str(SUBJECTS["SmolLM2 (GGUF)"]), str(samples)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"confirming failed: {done.stderr.strip().splitlines()[-1]}")
    seconds, one, counted = map(float, done.stdout.split())
    print(
        "\n| confirming 20 heads and 6 blocks (s) | one plain pass (s) | in plain passes | counted | allowed |"
    )
    print("|---|---|---|---|---|")
    print(
        f"| {seconds:.1f} | {one:.2f} | {seconds / one:.1f} | {counted:.1f} | {CONFIRMATION:.0f} |",
        flush=True,
    )
    return seconds / one


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
