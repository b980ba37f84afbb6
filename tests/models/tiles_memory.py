"""Prints by how many bytes observing soft-capped attention raises the peak memory of this process, and how long it took.

`python -m tests.models.tiles_memory LENGTH tiles|eager [spectra]`.
"""

import sys
import time
from dataclasses import replace

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from audit.models.coverage import survey
from audit.models.observing import observe
from audit.observations import AttentionObservation
from tests.models.backward_memory import forget, peak
from tests.models.watching import batch_of


def model_of(length: int) -> Gemma2ForCausalLM:
    """Two layers, of which the first sees a window only."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=1000,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        sliding_window=256,
        max_position_embeddings=length,
    )
    return Gemma2ForCausalLM(config).eval().requires_grad_(requires_grad=False)


class Summed:
    """Reads what metrics read."""

    def __init__(self, *, spectra: bool) -> None:
        self.spectra = spectra

    def on_attention(self, observation: AttentionObservation) -> None:
        """Sums, sinks and, where asked for, singular values."""
        _ = observation.kept, observation.visible_keys
        if self.spectra:
            _ = observation.spectrum


def main(length: int, path: str, *, spectra: bool) -> None:
    """Observe one sample."""
    torch.set_num_threads(1)
    model = model_of(length)
    layers = tuple(replace(layer, path=path) for layer in survey(model))  # type: ignore[arg-type]

    def pass_of(tokens: int) -> None:
        ids = torch.randint(1000, (1, tokens), generator=torch.Generator().manual_seed(0))
        observe(model, batch_of(ids, torch.ones_like(ids).bool()), Summed(spectra=spectra), layers=layers)

    pass_of(64)
    forget()
    before, started = peak(), time.perf_counter()
    pass_of(length)
    print(peak() - before, time.perf_counter() - started)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], spectra="spectra" in sys.argv)
