"""Trains the small GPT-2 that faults are planted in: seeded, on one thread, from the texts that ship with the package."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from audit import catalog

LAYERS, HEADS, WIDTH, VOCABULARY, POSITIONS = 6, 8, 128, 2048, 128
STEPS, ROWS, LENGTH, RATE = 1000, 16, 96, 3e-3
HELD_OUT = 600  # characters at the beginning of each text, which is where the probes take their windows
END = "<|endoftext|>"


def trained(folder: Path) -> Path:
    """The checkpoint in `folder`, made there in a few minutes if it is missing."""
    if not (folder / "model.safetensors").exists():
        tokenizer = _tokenizer()
        torch.manual_seed(0)
        model = GPT2LMHeadModel(_config())
        model.transformer.wpe.weight.data.copy_(_waves())
        _train(model, _tokens(tokenizer))
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    return folder


def _texts() -> list[str]:
    probes = catalog.probes()
    return [
        (document.text or "")[HELD_OUT:]
        for name in ("prose", "code", "long")
        for document in probes[name].documents()
    ]


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def _config() -> GPT2Config:
    return GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=0,
        eos_token_id=0,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def _waves() -> torch.Tensor:
    """Positions begin as sinusoids, twice the size of the words: so short a training would hardly find them."""
    speeds = torch.logspace(0.5, -1.5, WIDTH // 2)
    angles = torch.arange(POSITIONS)[:, None] * speeds
    return 0.06 * torch.cat([angles.sin(), angles.cos()], 1)


def _tokens(tokenizer: Any) -> torch.Tensor:
    """All texts one after the other, [token]."""
    ids = [token for text in _texts() for token in tokenizer(text, verbose=False)["input_ids"]]
    return torch.tensor(ids)


def _train(model: Any, tokens: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    draw = torch.Generator().manual_seed(0)
    model.train()
    for step in range(STEPS):
        starts = torch.randint(len(tokens) - LENGTH, (ROWS, 1), generator=draw)
        rows = tokens[starts + torch.arange(LENGTH)]
        loss = model(input_ids=rows, labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 100 == 0 or step == STEPS - 1:
            print(f"training the small GPT-2: step {step} of {STEPS}, loss {loss.item():.2f}", flush=True)
    model.eval()
