"""Observations of real models from `output_attentions` and hooks, kept apart from `audit.models` as a second witness."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from audit.observations import AttentionObservation, ResidualObservation, WeightObservation
from audit.patterns import Stored

HARBOUR = "The ferry left at dawn, and nobody on the quay looked up from the ropes, the nets and the crates of fish."
BRIDGE = (
    "When the committee had read it twice, it asked why the older bridge, built in 1931, had never moved; she said "
    "that it stood on rock, and that the newer one, although it was made of the same stone, did not."
)
TEXTS = (HARBOUR, "Rain fell.", BRIDGE)


class Seen(NamedTuple):
    """What is observed in one batch of a model, layer by layer."""

    attention: list[AttentionObservation]
    residual: list[ResidualObservation]
    weights: list[WeightObservation]


class Parts(NamedTuple):
    """The modules of one block that hooks listen to."""

    block: nn.Module
    projection: nn.Module  # W_O: its input is the concatenated head outputs, its output the attention update
    mlp: nn.Module  # its output is the MLP update


def minilm(folder: Path, texts: Sequence[str] = TEXTS) -> Seen:
    """all-MiniLM-L6-v2 on `texts`, padded on the right."""
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    blocks = [Parts(b, b.attention.output.dense, b.output.dense) for b in model.encoder.layer]
    return _observe(model, blocks, _batch(tokenizer, texts), causal=False)


def smollm2(file: Path, texts: Sequence[str] = TEXTS) -> Seen:
    """SmolLM2-135M-Instruct on `texts`, padded on the left."""
    names = {"gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, **names, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **names, padding_side="left")
    blocks = [Parts(b, b.self_attn.o_proj, b.mlp) for b in model.model.layers]
    return _observe(model, blocks, _batch(tokenizer, texts), causal=True)


def _batch(tokenizer: Any, texts: Sequence[str]) -> dict[str, Tensor]:
    encoded = tokenizer(list(texts), padding=True, return_special_tokens_mask=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask", "special_tokens_mask")}


def _observe(model: Any, blocks: list[Parts], batch: dict[str, Tensor], *, causal: bool) -> Seen:
    special = batch.pop("special_tokens_mask").bool()
    tokens = batch["attention_mask"].bool()
    with torch.no_grad(), _listening(blocks) as heard:
        patterns = model(**batch, output_attentions=True).attentions
    attention = [
        _attention(layer, pattern, heard[layer]["heads"], tokens, special, causal=causal)
        for layer, pattern in enumerate(patterns)
    ]
    residual = [_residual(layer, heard[layer], attention[layer]) for layer in range(len(blocks))]
    heads = patterns[0].shape[1]
    weights = [_weight(layer, parts.projection, heads) for layer, parts in enumerate(blocks)]
    return Seen(attention, residual, weights)


@contextmanager
def _listening(blocks: list[Parts]) -> Iterator[list[dict[str, Tensor]]]:
    heard: list[dict[str, Tensor]] = [{} for _ in blocks]
    handles = [
        module.register_forward_hook(partial(_hear, hear=hear, heard=heard[layer]), with_kwargs=True)
        for layer, parts in enumerate(blocks)
        for module, hear in zip(parts, (_of_block, _of_projection, _of_mlp), strict=True)
    ]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _hear(
    module: nn.Module,
    inputs: tuple[Any, ...],
    keywords: dict[str, Any],
    output: Any,
    *,
    hear: Callable[[Tensor, Tensor], dict[str, Tensor]],
    heard: dict[str, Tensor],
) -> None:
    entering = inputs[0] if inputs else keywords["hidden_states"]
    heard.update(hear(entering, output[0] if isinstance(output, tuple) else output))


def _of_block(entering: Tensor, leaving: Tensor) -> dict[str, Tensor]:
    return {"before": entering, "after": leaving}


def _of_projection(entering: Tensor, leaving: Tensor) -> dict[str, Tensor]:
    return {"heads": entering, "attention_update": leaving}


def _of_mlp(entering: Tensor, leaving: Tensor) -> dict[str, Tensor]:
    return {"mlp_update": leaving}


def _attention(
    layer: int, pattern: Tensor, outputs: Tensor, tokens: Tensor, special: Tensor, *, causal: bool
) -> AttentionObservation:
    visible = tokens[:, None, None, :].expand(-1, 1, tokens.shape[1], -1)
    return AttentionObservation(
        layer=layer,
        kind="self",
        source=Stored(pattern, visible.tril() if causal else visible),
        queries=tokens,
        keys=tokens,
        special=special,
        head_output=outputs.unflatten(-1, (pattern.shape[1], -1)).transpose(1, 2),
    )


def _residual(layer: int, heard: dict[str, Tensor], attention: AttentionObservation) -> ResidualObservation:
    return ResidualObservation(
        layer=layer,
        opens_block=True,
        tokens=attention.queries,
        sinks=attention.sinks.any(1),
        before=heard["before"],
        between=None,
        after=heard["after"],
        attention_update=heard["attention_update"],
        mlp_update=heard["mlp_update"],
    )


def _weight(layer: int, projection: Any, heads: int) -> WeightObservation:
    weight = projection.weight.detach()
    return WeightObservation(layer=layer, output=torch.unflatten(weight.T, 0, (heads, -1)))
