"""Prints by how many bytes looking at so many samples raises the peak memory of this process, the model being loaded."""

import sys
import tempfile
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from audit import policy
from audit.checkpoint.opening import Checkpoint, open_checkpoint
from audit.feeding import feeds_of
from audit.known import Known
from audit.measuring import measured
from audit.models.loading import LoadedModel, load_model
from audit.probes.sampling import Feed
from audit.progress import Silent
from audit.request import Request, request
from audit.results import Plan
from tests.models.backward_memory import forget, peak


def few_heads(folder: Path) -> Path:
    """A random model whose passes take far more memory than the numbers of its four heads."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4000, hidden_size=512, intermediate_size=2048, num_hidden_layers=2, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def main(samples: int) -> int:
    """Bytes; a few samples are looked at before, so that what libraries keep is not counted."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        opened = open_checkpoint(few_heads(Path(folder)))
        loaded = load_model(opened)
        fed = [fed_with(opened, loaded, count) for count in (16, samples)]
        for asked, feeds in fed:
            forget()
            before = peak()
            look(asked, loaded, feeds)
        return peak() - before


def fed_with(opened: Checkpoint, loaded: LoadedModel, samples: int) -> tuple[Request, tuple[Feed, ...]]:
    """Random tokens, and what depth quick measures of them."""
    plan = Plan(depth="quick", probes=("random",), samples=samples, max_length=96)
    asked = request(opened, plan, policy.load(None), command="")
    return asked, feeds_of(asked, loaded)[0]


def look(asked: Request, loaded: LoadedModel, feeds: tuple[Feed, ...]) -> None:
    """The observing stage of an audit."""
    with tempfile.TemporaryDirectory() as folder:
        measured(Known(asked), loaded, feeds, (), folder=Path(folder), progress=Silent())


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
