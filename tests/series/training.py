"""Trains a tiny GPT on the texts that ship with the package and leaves what Hugging Face's Trainer leaves: checkpoints."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from audit import catalog

LAYERS, HEADS, WIDTH, LENGTH, ROWS = 3, 4, 64, 64, 8
SPREAD = 0.1  # of the weights as drawn, near 1/sqrt(width): so narrow a model leaves a start of 0.02 slowly
SANE, FAR_TOO_HIGH = 0.003, 1.0  # peak learning rate
HELD_OUT = 600  # characters at the beginning of each text, which is where the probes take their windows
SMOOTHED, MARGIN = 20, 1.1


def train(folder: Path, *, seed: int, rate: float, steps: int, every: int) -> list[float]:
    """Losses of every step; a checkpoint in `folder` before the first and after each `every` steps.

    AdamW without clipping; the learning rate grows from 0 to `rate` over the whole training.
    """
    torch.manual_seed(seed)
    model, tokenizer = GPT2LMHeadModel(_config()), _tokenizer()
    ids = torch.tensor([token for text in _texts() for token in tokenizer(text, verbose=False)["input_ids"]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / steps)
    draw, log = torch.Generator().manual_seed(seed), list[dict[str, Any]]()
    for step in range(steps + 1):
        if step % every == 0:
            _save(folder / f"checkpoint-{step}", model, tokenizer, log, steps)
        if step < steps:
            starts = torch.randint(len(ids) - LENGTH, (ROWS, 1), generator=draw)
            rows = ids[starts + torch.arange(LENGTH)]
            loss = model(input_ids=rows, labels=rows).loss
            loss.backward()
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
            at = {"step": step + 1, "learning_rate": schedule.get_last_lr()[0]}
            log.append({"loss": loss.item(), "grad_norm": norm.item(), **at})
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return [line["loss"] for line in log]


def divergence(losses: list[float]) -> int | None:
    """The step from which on the loss (mean of 20 steps) stays 10% above its lowest so far, to the end; or None.

    A loss that is not finite counts as above.
    """
    since, lowest = None, float("inf")
    for step in range(SMOOTHED, len(losses) + 1):
        level = sum(losses[step - SMOOTHED : step]) / SMOOTHED
        lowest = min(lowest, level)  # a NaN is no minimum
        if level <= MARGIN * lowest:
            since = None
        elif since is None:
            since = step
    return since


def _config() -> GPT2Config:
    return GPT2Config(
        vocab_size=256,
        n_positions=LENGTH,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        initializer_range=SPREAD,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """A token for each byte."""
    alphabet = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="!", pad_token="!")


def _texts() -> list[str]:
    probes = catalog.probes()
    return [
        (document.text or "")[HELD_OUT:]
        for name in ("prose", "long")
        for document in probes[name].documents()
    ]


def _save(folder: Path, model: Any, tokenizer: Any, log: list[dict[str, Any]], steps: int) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    state = {"global_step": len(log), "max_steps": steps, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
