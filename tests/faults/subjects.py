"""The models that faults are planted in."""

from functools import cache
from pathlib import Path

from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import LoadedModel, load_model

_CACHE = Path(__file__).parent.parent.parent / ".cache"
CHECKPOINTS = {
    "SmolLM2": _CACHE / "inputs" / "SmolLM2-135M-Instruct" / "SmolLM2-135M-Instruct.Q4_1.gguf",
    "MiniLM": _CACHE / "inputs" / "all-MiniLM-L6-v2",
    "GPT-2": _CACHE / "faults" / "gpt2",
}


@cache
def opened(name: str) -> LoadedModel:
    """A model in memory, in float32; whoever changes it restores it."""
    return load_model(open_checkpoint(CHECKPOINTS[name]))
