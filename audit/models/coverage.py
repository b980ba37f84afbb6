"""Says of every layer of a model whether its attention can be observed, and afterwards whether it was."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

import torch
from transformers import PreTrainedModel

from audit.errors import AuditError, NothingObserved
from audit.models.inputs import configurations
from audit.models.passes import Way
from audit.models.sites import READ, WRITTEN, Attending, Block, blocks
from audit.results.subject import LayerCoverage

SAME = 1e-4  # relative and absolute: head outputs of two kernels that compute the same
IN_PIECES = "block-sparse attention: its softmaxes do not cover all keys of a query at once"
ASTRAY = "a softmax over its keys was computed, but not seen to weight values"

Stack = Literal["encoder", "decoder"]


def survey(model: PreTrainedModel) -> tuple[LayerCoverage, ...]:
    """Every attention layer in order of execution, and between them the blocks that mix tokens in another way.

    Found by running the model on a few random tokens: what counts is what is computed, not names or `layer_idx`.
    `reason` is None where a layer can be observed; `heads` is 0 where no softmax attention was seen.

    Raises:
        NothingObserved: no softmax attention was computed at all.
        UnusableInput: the model fails on random tokens.
    """
    found = blocks(model)
    lists = {_parent(block.name) for block in found if block.name and block.attentions}
    found = [block for block in found if block.attentions or block.softmaxes or _parent(block.name) in lists]
    stacks = _stacks(model, found)
    layers = [
        replace(layer, stack=stack, block=stacks[:position].count(stack))
        for position, (block, stack) in enumerate(zip(found, stacks, strict=True))
        for layer in _layers(model, block, found)
    ]
    if not any(layer.heads for layer in layers):
        raise NothingObserved(
            f"model type {model.config.model_type!r} computes no softmax attention: there is nothing to audit"
        )
    paths = _paths(model, found)
    return tuple(
        replace(layer, index=index, path=paths.get(layer.name, "eager") if layer.reason is None else None)
        for index, layer in enumerate(layers)
    )


def _paths(model: PreTrainedModel, eager: Sequence[Block]) -> Mapping[str, Way]:
    """How each layer can be computed without its pattern in memory; empty unless, on a few tokens, all are alike."""
    own = [each for block in eager for each in block.attentions]
    best: Mapping[str, Way] = {}
    for way in _ways(model):
        found = _taken(model, way)
        alike = len(own) == len(found) and all(map(_alike, own, found))
        paths = {each.name: each.path for each in found if each.path == way and alike}
        best = max(best, paths, key=len)
        if len(best) == len(own):
            break
    return best


def _taken(model: PreTrainedModel, way: Way) -> list[Attending]:
    try:
        return [each for block in blocks(model, way) for each in block.attentions]
    except AuditError:  # it says that it can, and cannot
        return []


def _ways(model: PreTrainedModel) -> Iterator[Way]:
    """Those to be tried, quickest first.

    No fused kernel where scores are capped, which few tokens may not show; and only on the CPU, where the kernel
    gives the log-sum-exp of its rows.
    """
    capped = any(getattr(config, "attn_logit_softcapping", None) for config in configurations(model))
    if not capped and model.device.type == "cpu" and getattr(model, "_supports_sdpa", False):
        yield "fused"
    yield "tiles"


def _alike(one: Attending, other: Attending) -> bool:
    """Whether both are the same attention, up to rounding.

    Of bfloat16 it is coarse: enough for a family's own code on tiles, but what a kernel leaves out could hide in it.
    """
    within = SAME
    if other.path == "tiles":
        within = max(SAME, 2 * torch.finfo(one.head_outputs.dtype).eps)
    where = ("name", "heads", "kv_heads", "queries", "keys", "whole", "causal")
    if any(getattr(one, name) != getattr(other, name) for name in where):
        return False
    seen = (one.head_outputs, other.head_outputs), (one.pattern, other.pattern)
    return all(torch.allclose(*both, rtol=within, atol=within, equal_nan=True) for both in seen)


def observed(layers: Sequence[LayerCoverage], seen: set[int]) -> tuple[LayerCoverage, ...]:
    """The layers with what became of each: observed, by which path, or not and why."""
    return tuple(
        replace(layer, observed=True, path=layer.path, reason=None)
        if layer.index in seen
        else replace(layer, observed=False, path=None, reason=layer.reason or "not reached in any pass")
        for layer in layers
    )


def _layers(model: PreTrainedModel, block: Block, found: Sequence[Block]) -> Iterator[LayerCoverage]:
    """The layers of one block, without their place."""
    for module, group in groupby(block.attentions, key=lambda attending: attending.module):
        attentions = list(group)
        if all(attending.whole for attending in attentions):
            yield from map(_attention, attentions)
        else:
            yield _layer(module, heads=_heads(model, found), reason=IN_PIECES)
    over_tokens = [attending for attending in block.attentions if attending.keys in (READ, WRITTEN)]
    for module in block.softmaxes[len(over_tokens) :]:
        yield _layer(module, heads=_heads(model, found), reason=ASTRAY)
    if not block.attentions and not block.softmaxes:
        yield _layer(block.name, reason=f"no softmax attention: {_mixer(model, block, found)}")


def _attention(attending: Attending) -> LayerCoverage:
    """A layer that can be observed."""
    other = attending.queries != attending.keys
    reads = (attending.queries, attending.keys) == (WRITTEN, READ) or (other and "cross" in attending.name)
    kind: Literal["self", "cross"] = "cross" if reads else "self"
    return _layer(attending.name, kind=kind, heads=attending.heads, kv_heads=attending.kv_heads)


def _layer(
    name: str,
    *,
    kind: Literal["self", "cross"] = "self",
    heads: int = 0,
    kv_heads: int | None = None,
    reason: str | None = None,
) -> LayerCoverage:
    return LayerCoverage(
        index=0,
        name=name,
        block=0,
        stack="encoder",
        kind=kind,
        heads=heads,
        kv_heads=heads if kv_heads is None else kv_heads,
        observed=False,
        path=None,
        reason=reason,
    )


def _heads(model: PreTrainedModel, found: Sequence[Block]) -> int:
    """Heads of a layer that does not show them: what the configuration says, or else what other layers have."""
    stated = getattr(model.config.get_text_config(), "num_attention_heads", None)
    seen = [attending.heads for block in found for attending in block.attentions if attending.whole]
    return stated if isinstance(stated, int) else max(seen, default=1)


def _stacks(model: PreTrainedModel, found: Sequence[Block]) -> list[Stack]:
    """The stack each block stands in; a model that is no pair is a decoder when any of its attentions is causal."""
    if model.config.is_encoder_decoder:
        encoder = model.get_encoder()
        reading = next(name for name, module in model.named_modules() if module is encoder)
        names = [block.name or (block.attentions[0].name if block.attentions else "") for block in found]
        return ["encoder" if name.startswith(f"{reading}.") else "decoder" for name in names]
    causal = any(attending.causal for block in found for attending in block.attentions)
    return ["decoder" if causal else "encoder"] * len(found)


def _mixer(model: PreTrainedModel, block: Block, found: Sequence[Block]) -> str:
    """Class of what a block has and the blocks with attention beside it have not."""
    beside = [other for other in found if other.attentions and _parent(other.name) == _parent(block.name)]
    usual = {type(child) for other in beside for child in model.get_submodule(other.name).children()}
    own = model.get_submodule(block.name)
    unusual = [type(child).__name__ for child in own.children() if type(child) not in usual]
    return unusual[0] if unusual else type(own).__name__


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
