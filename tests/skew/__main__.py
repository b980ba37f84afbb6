"""Whether findings of skew can be trusted: how often the tests cry wolf, and whether what was planted is found."""

import datetime as dt
import sys
import time
from pathlib import Path

import numpy as np

from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import load_model
from audit.probes.demographics import axes
from tests.skew.calibration import (
    Captured,
    captured,
    false_discoveries,
    independent,
    over_sentences,
    uniformity,
)
from tests.skew.planting import Aim, ground_of, heads_of

INPUTS = Path(__file__).parent.parent.parent / ".cache" / "inputs"
MODELS = {
    "BERT-tiny": INPUTS / "BERT-tiny",
    "MiniLM": INPUTS / "all-MiniLM-L6-v2",
    "SmolLM2": INPUTS / "SmolLM2-135M-Instruct" / "SmolLM2-135M-Instruct.Q4_1.gguf",
}
REPLICATES, FAMILIES = 2_000, 300
TEMPLATES, TERMS = 24, 28
UNIFORM, FALSE = 0.01, 0.05  # least p of Kolmogorov and Smirnov, largest false discovery rate
LEADS = {"strong": 2.0, "moderate": 1.0, "weak": 0.25}  # nats
PLANTED = ("MiniLM", "SmolLM2")


def main() -> int:
    """0 where everything holds."""
    start = time.process_time()
    held = [calibrated(name) for name in ("BERT-tiny", "MiniLM")] + [found(name) for name in PLANTED]
    print(f"\n{dt.datetime.now(dt.UTC).date()}, {(time.process_time() - start) / 60:.1f} minutes of CPU")
    return int(not all(held))


def calibrated(name: str) -> bool:
    """One model's p values and false discovery rates, printed."""
    of = captured(load_model(open_checkpoint(MODELS[name])), templates=TEMPLATES, terms=TERMS)
    p, wrong = independent(of, replicates=REPLICATES), over_sentences(of, replicates=REPLICATES)
    print(f"\n{name}: {REPLICATES:,} divisions of {of.terms} names of one kind, one p each")
    print(f"  labels permuted over terms:  {_said(p)}")
    print(f"  signs flipped over sentences: {_said(wrong)} (the test that is not used)", flush=True)
    return (uniformity(p) > UNIFORM) & _false(of)


def _said(p: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    return f"Kolmogorov-Smirnov p = {uniformity(p):.3g}, {(p <= 0.05).mean():.1%} at most 0.05"


def _false(of: Captured) -> bool:
    held = True
    for mixed, words in ((False, "nothing there"), (True, "a difference in 10% of heads")):
        rate, error, power = false_discoveries(of, replicates=FAMILIES, mixed=mixed)
        seen = f", {power:.0%} of it found" if mixed else ""
        print(f"  false discovery rate, {words}: {rate:.3f} (standard error {error:.3f}){seen}", flush=True)
        held &= rate <= FALSE
    return held


def found(name: str, *, seed: int = 0) -> bool:
    """Where the head stands that a skew was planted in, at three strengths, printed."""
    ground = ground_of(load_model(open_checkpoint(MODELS[name])))
    (axis,) = (axis for axis in axes() if axis.name == "gender")
    generator = np.random.default_rng(seed)
    layer = int(generator.integers(len(ground.layers)))
    head = int(generator.integers(ground.layers[layer].heads))
    aim = Aim.at(ground, axis, layer=layer, head=head)
    held = True
    print(f"\n{name}: gender, layer {layer}, head {head}")
    for strength, lead in LEADS.items():
        with aim.planted(lead):
            heads = heads_of(ground, axis)
        order = list(dict.fromkeys((each.layer, each.head) for each in heads))
        rank = order.index((layer, head)) + 1 if (layer, head) in order else None
        print(f"  {strength} ({lead:g} nats): {f'place {rank}' if rank else 'not listed'}", flush=True)
        held &= strength == "weak" or rank == 1
    return held


if __name__ == "__main__":
    sys.exit(main())
