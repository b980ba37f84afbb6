"""A GPT-2 put together by hand that copies, with sinusoidal positions; and the same with attention that follows them.

The first layer writes beside each token the one before it, the second looks for earlier places that stand behind the
same token and predicts what stood there: it can use a passage that it has read, however far back. In its twin the
scores of that second layer also have the likeness of the sinusoidal positions in them, which falls with distance:
everything is as before, but what is far back loses against what is near.
"""

import re
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from audit import catalog

WIDTH, TOKEN, POSITIONS = 64, 48, 256  # of a slot; channels of a token in it; tokens
SLOWER = 10  # frequencies that are faster than those whose likeness is followed: they tell neighbours apart
WORDS = re.compile(r"\w+|[^\w\s]")
# Slots of the residual stream, WIDTH channels each: the token, its position, the token before, what is predicted.
WORD, PLACE, BEFORE, NEXT = range(4)


def saved(folder: Path, *, forgets: float = 0.0) -> Path:
    """The checkpoint of the model that copies; `forgets` is the weight of the positions' likeness in its scores."""
    tokenizer = _tokenizer()
    model = copying_model(_frequencies_of_words(tokenizer), forgets=forgets)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def copying_model(counts: Tensor, *, forgets: float) -> GPT2LMHeadModel:
    """The model of as many tokens as there are counts; where nothing is to be copied it knows how frequent each is."""
    vocabulary = len(counts)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=POSITIONS,
        n_embd=4 * WIDTH,
        n_layer=2,
        n_head=4,
        n_inner=8,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).eval()
    signs = torch.randint(2, (vocabulary, TOKEN), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(float("ln_" in name and name.endswith("weight")))
        model.transformer.wte.weight[:, _slot(WORD)][:, :TOKEN] = signs
        model.transformer.wpe.weight[:, _slot(PLACE)] = sinusoids()
        first, second = model.transformer.h
        # The likeness of p - 1 and p' is largest where p' stands right before p.
        _attend(
            first, query=(PLACE, 6.0 * turned_back()), key=(PLACE, torch.eye(WIDTH)), value=WORD, into=BEFORE
        )
        word = torch.diag((torch.arange(WIDTH) < TOKEN).float())
        _attend(second, query=(WORD, 3.0 * word), key=(BEFORE, word), value=WORD, into=NEXT)
        _add_likeness(second, forgets)
        model.lm_head.weight[:, _slot(NEXT)][:, :TOKEN] = 0.15 * signs
        model.transformer.ln_f.weight[_slot(PLACE)] = 0.0
        model.transformer.ln_f.bias[PLACE * WIDTH] = 1.0
        model.lm_head.weight[:, PLACE * WIDTH] = (counts / counts.mean()).log()
    return model


def sinusoids() -> Tensor:
    """The table of Vaswani et al. 2017, [position, WIDTH]: sines of all frequencies, then cosines."""
    angles = torch.arange(POSITIONS)[:, None] * frequencies()
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def frequencies() -> Tensor:
    """Radians per token."""
    return 10_000.0 ** (-torch.arange(WIDTH // 2) / (WIDTH // 2))


def turned_back() -> Tensor:
    """What makes the position before of a position, [WIDTH, WIDTH], to be multiplied from the right."""
    cos, sin = torch.diag(frequencies().cos()), torch.diag(frequencies().sin())
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)], 0)


def _attend(
    block: object, *, query: tuple[int, Tensor], key: tuple[int, Tensor], value: int, into: int
) -> None:
    """Lets the first head of a block read slots by these products, and write a slot into another."""
    attention = block.attn  # type: ignore[attr-defined]
    head, width = slice(0, WIDTH), 4 * WIDTH
    for part, (slot, weights) in enumerate((query, key, (value, torch.eye(WIDTH)))):
        attention.c_attn.weight[_slot(slot), part * width + head.start : part * width + head.stop] = weights
    attention.c_proj.weight[head, _slot(into)] = 4.0 * torch.eye(WIDTH)


def _add_likeness(block: object, weight: float) -> None:
    """Adds the likeness of positions to the scores, of waves of 100 to 800 tokens, in channels that no token uses."""
    weights, width, free = block.attn.c_attn.weight, 4 * WIDTH, WIDTH - TOKEN  # type: ignore[attr-defined]
    waves = range(SLOWER, SLOWER + free // 2)
    for channel, source in zip(
        range(TOKEN, WIDTH), [*waves, *(WIDTH // 2 + wave for wave in waves)], strict=True
    ):
        weights[PLACE * WIDTH + source, channel] = weight
        weights[PLACE * WIDTH + source, width + channel] = 1.0


def _slot(number: int) -> slice:
    return slice(number * WIDTH, (number + 1) * WIDTH)


def _frequencies_of_words(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """How often each token stands in the long probe, and once more."""
    texts = [document.text or "" for document in catalog.probes()["long"].documents()]
    found = [token for text in texts for token in tokenizer(text)["input_ids"]]
    return torch.bincount(torch.tensor(found), minlength=tokenizer.vocab_size).float() + 1.0


def _tokenizer() -> PreTrainedTokenizerFast:
    """Words and marks of the long probe, each a token."""
    texts = [document.text or "" for document in catalog.probes()["long"].documents()]
    words = sorted({word for text in texts for word in WORDS.findall(text)})
    made = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(["[?]", *words])}, unk_token="[?]")
    )
    made.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS.pattern), behavior="removed", invert=True)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[?]")
