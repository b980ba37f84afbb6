"""A checkpoint of three billion parameters looked at with 2 GiB of memory, beside the same with all of it in memory."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROOM = 2 * 2**30
TOKENS, SAMPLES = 64, 16
SLOWER = 1.3  # than all in memory, plus one read of the files
ONCE = 1.01  # times that each byte is read in a pass: of the table of the vocabulary only rows are


def three_billion(folder: Path) -> int:
    """Random weights in bfloat16, six gigabytes of them; how many bytes."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=2560,
        intermediate_size=8704,
        num_hidden_layers=33,
        num_attention_heads=40,
        num_key_value_heads=10,
        vocab_size=32_000,
        tie_word_embeddings=True,
    )
    torch.set_default_dtype(torch.bfloat16)
    model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder, max_shard_size="1GB")
    return sum(parameter.nbytes for parameter in model.parameters())


def read(folder: Path) -> float:
    """Seconds that reading every file takes."""
    start = time.perf_counter()
    for path in folder.glob("*.safetensors"):
        with path.open("rb", buffering=0) as file:
            while file.read(2**24):
                pass
    return time.perf_counter() - start


def looked_at(folder: Path, room: int) -> dict[str, Any]:
    """What a process of its own says of it."""
    words = [str(folder), str(room), str(TOKENS), str(SAMPLES)]
    command = [sys.executable, "-m", "tests.models.streamed_memory", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> int:
    """Print the figures; exit code 1 where one is not as wanted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored = three_billion(folder)
        streamed, usual, once = looked_at(folder, ROOM), looked_at(folder, 0), read(folder)
    rows = [
        ("anonymous memory of the whole process, GiB", streamed["whole"] / 2**30, ROOM / 2**30),
        ("time over all in memory plus a read", streamed["passes"] / (usual["passes"] + once), SLOWER),
        ("weights read in the pass over their bytes", streamed["read"] / stored, ONCE),
        ("numbers that differ", float(streamed["values"] != usual["values"]), 0.0),
    ]
    print(f"\n{stored / 1e9:.1f} GB in bfloat16, {SAMPLES} samples of {TOKENS} tokens, --max-memory 2GiB")
    print(f"in memory: {usual['whole'] / 2**30:.1f} GiB, passes {usual['passes']:.0f} s\n")
    print("| figure | found | at most | |\n|---|---|---|---|")
    for what, found, most in rows:
        print(f"| {what} | {found:.2f} | {most:g} | {'met' if found <= most else 'MISSED'} |", flush=True)
    return int(any(found > most for _, found, most in rows))


if __name__ == "__main__":
    sys.exit(main())
