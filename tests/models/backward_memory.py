"""Prints by how many bytes a backward pass raises the peak memory of this process: `plain` or `observed`."""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from audit.models.coverage import survey
from audit.models.gradients import Backward
from audit.models.inputs import Fed, model_inputs
from audit.models.passes import eager
from tests.models.watching import batch_of


def model_of() -> LlamaForCausalLM:
    """Thirteen million parameters in eight layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4000, hidden_size=256, intermediate_size=1024, num_hidden_layers=8, num_attention_heads=8
    )
    return LlamaForCausalLM(config).eval().requires_grad_(requires_grad=False)


def peak() -> int:
    """Bytes resident at most since `forget`."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def forget() -> None:
    """Gives freed memory back and counts the peak anew."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", "utf-8")


def plain(model: LlamaForCausalLM, fed: Fed, loss: Callable[[Tensor], Tensor]) -> None:
    """The usual way: a gradient for every parameter."""
    model.requires_grad_(requires_grad=True)
    with eager(model):
        loss(model(**fed.inputs)).backward()


def observed(model: LlamaForCausalLM, fed: Fed, loss: Callable[[Tensor], Tensor]) -> None:
    """As an audit does, with the search for the matrices."""
    for _ in Backward(model, survey(model)).observe(fed, loss):
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    ids = torch.randint(4000, (1, 256), generator=torch.Generator().manual_seed(0))
    model = model_of()
    fed = model_inputs(model, batch_of(ids, torch.ones_like(ids).bool()), every_logit=True)
    forget()
    before = peak()
    way = {"plain": plain, "observed": observed}[sys.argv[1]]
    way(model, fed, lambda output: torch.nn.functional.cross_entropy(output.logits[0], ids[0]))
    print(peak() - before)
