"""What looking at attention costs: the audit's engine beside a plain pass and beside what users run instead."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from audit.benchmark.comparison import AUDITS, NAMES, SLOW, Comparison, Timing, compare
from tests.bench import SUBJECTS

LENGTHS = (128, 512, 1024, 2048, 4096)
TIME = {  # over a plain pass, by case and length
    ("without_spectra", 128): 1.2,
    ("without_spectra", 1024): 1.5,
    ("everything", 128): 1.5,
    ("everything", 1024): 3.2,
    ("default", 128): 2.0,
    ("default", 1024): 2.0,
}
MEMORY = 1.3  # over a plain pass, at 1,024 tokens
SLOPE = 1.1  # of an audit's memory in the length of a sample
FASTER, LEANER = 10.0, 5.0  # than eager attention with every pattern kept and decomposed, at 1,024 tokens


class Row(NamedTuple):
    """One figure, and what it may be."""

    what: str
    found: float
    wanted: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is as wanted."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted


def gpt2_shaped(folder: Path, *, layers: int = 12, heads: int = 12) -> Path:
    """A random model of twelve layers, shaped like the smallest GPT-2 but for positions up to 4,096."""
    torch.manual_seed(0)
    config = GPT2Config(n_positions=4096, vocab_size=8192, n_layer=layers, n_head=heads)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def growths() -> Iterator[tuple[str, float, float]]:
    """By what, and the exponents of an audit's time and memory in it, at 256 tokens."""
    for what, values in {"layers": (3, 6, 12), "heads": (6, 12, 24), "samples": (8, 16, 32)}.items():
        found = [_timing(what, value) for value in values]
        scale = np.log(values)
        slopes = [
            float(np.polyfit(scale, np.log([getattr(timing, name) for timing in found]), 1)[0])
            for name in ("seconds", "bytes")
        ]
        yield what, slopes[0], slopes[1]


def _timing(what: str, value: int) -> Timing:
    with tempfile.TemporaryDirectory() as folder:
        shape = {what: value} if what != "samples" else {}
        path = gpt2_shaped(Path(folder), **shape)
        count = value if what == "samples" else 16
        return Comparison.of_rounds(
            compare(path, lengths=(256,), cases=("everything",), rounds=2, count=count)
        ).timings[0]


def rows(found: Comparison) -> Iterator[Row]:
    """Every figure that is held against something."""
    for (case, tokens), most in TIME.items():
        if ratio := found.ratio(case, tokens):
            yield Row(f"time, {NAMES[case]}, T={tokens}", ratio[0], most)
    for case in AUDITS:
        if ratio := found.ratio(case, 1024):
            yield Row(f"memory, {NAMES[case]}, T=1024", ratio[1], MEMORY)
        if (slope := found.growth(case).bytes) is not None:
            yield Row(f"memory, {NAMES[case]}, grows as T^", slope, SLOPE)
    for case in SLOW:
        if against := found.ratio(case, 1024, to="everything"):
            yield Row(f"times faster than {NAMES[case]}, T=1024", against[0], FASTER, at_least=True)
            yield Row(f"times less memory than {NAMES[case]}, T=1024", against[1], LEANER, at_least=True)


def main() -> int:
    """Print both tables of both models; exit code 1 where a figure is not as wanted."""
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        subjects = {
            "SmolLM2": SUBJECTS["SmolLM2 (GGUF)"],
            "12 layers like GPT-2's": gpt2_shaped(Path(folder)),
        }
        for name, path in subjects.items():
            found = Comparison.of_rounds(compare(path, lengths=LENGTHS, failed=print))
            print(f"\n{name}: time / memory over a plain pass\n")
            print("| case | " + " | ".join(f"T={t}" for t in LENGTHS) + " | grows as T^ |")
            print("|---|" + "---|" * (len(LENGTHS) + 1))
            for case, said in NAMES.items():
                cells = [f"{r[0]:.2f} / {r[1]:.2f}" if (r := found.ratio(case, t)) else "-" for t in LENGTHS]
                slopes = [f"{s:.2f}" if s is not None else "-" for s in found.growth(case)]
                print(f"| {said} | " + " | ".join([*cells, " / ".join(slopes)]) + " |")
            print("\n| figure | found | wanted | |\n|---|---|---|---|")
            for row in rows(found):
                missed += not row.met
                sign = "at least" if row.at_least else "at most"
                word = "met" if row.met else "MISSED"
                print(f"| {row.what} | {row.found:.2f} | {sign} {row.wanted:g} | {word} |", flush=True)
    print("\n| audit with every spectrum grows with | time | memory |\n|---|---|---|")
    for what, seconds, held in growths():
        print(f"| {what} | ^{seconds:.2f} | ^{held:.2f} |", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
