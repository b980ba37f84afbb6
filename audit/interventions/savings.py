"""What blocks and attention sublayers take: parameters, key/value cache and arithmetic, as counted in a pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from audit.interventions.prefix import Route
from audit.models.inputs import model_inputs
from audit.models.passes import eager
from audit.models.sites import blocks
from audit.observations import Batch
from audit.results.redundancy import Kind
from audit.results.subject import LayerCoverage


class Weight(NamedTuple):
    """What a model, or a part of it, takes."""

    parameters: int
    flops: float  # of a forward pass per token, in windows as long as those counted in
    cache_bytes: float | None  # keys and values kept per token; None where the model keeps none


class Weights(NamedTuple):
    """Of the whole model, and of the part that each layer stands for."""

    whole: Weight
    parts: dict[int, Weight]  # by index of the layer


def weigh(model: Any, batch: Batch, *, layers: Sequence[LayerCoverage], route: Route, kind: Kind) -> Weights:
    """What blocks, or attention sublayers, take, counted on the first sample of `batch`.

    A block is the part of each of its layers.
    """
    sample = batch.only(0, batch.input_ids.shape[1])
    tokens = sample.input_ids.shape[1]
    flops, cache = _flops(model, sample), _cache(model, sample, layers)
    parts = {}
    for layer, names in _modules(model, layers, route, kind).items():
        beside = {other.index for other in layers if route.run_of(other.index) == route.run_of(layer)}
        kept = sum(cache.get(other, 0.0) for other in (beside if kind == "blocks" else {layer}))
        count = _parameters([model.get_submodule(name) for name in names])
        parts[layer] = Weight(
            count, sum(flops.get(name, 0) for name in names) / tokens, kept if cache else None
        )
    whole = Weight(_parameters([model]), flops[""] / tokens, sum(cache.values()) if cache else None)
    return Weights(whole, parts)


def _modules(model: Any, layers: Sequence[LayerCoverage], route: Route, kind: Kind) -> dict[int, set[str]]:
    """Names of the modules that make up each layer's part."""
    if kind == "blocks":
        runs = {layer.index: route.run_of(layer.index) for layer in layers}
        return {index: {route.blocks[run]} for index, run in runs.items() if run is not None}
    names = {id(module): name for name, module in model.named_modules()}
    found = {}
    for attending in (each for block in blocks(model) for each in block.attentions):
        found[attending.name] = {attending.module}
        projection = names.get(id(attending.projection))
        if projection is not None and not projection.startswith(f"{attending.module}."):
            found[attending.name].add(projection)  # W_O stands beside the attention's own module
    return {layer.index: found[layer.name] for layer in layers if layer.name in found}


def _flops(model: Any, sample: Batch) -> dict[str, int]:
    """Floating point operations of each module in one pass, by name; those of the model itself under ''."""
    inputs = model_inputs(model, sample, every_logit=True).inputs
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), eager(model), sdpa_kernel(SDPBackend.MATH), counter:
        model(**inputs)
    root = type(model).__name__
    counts = {name: sum(each.values()) for name, each in counter.get_flop_counts().items()}
    return {"": counts["Global"]} | {name.removeprefix(f"{root}."): count for name, count in counts.items()}


def _cache(model: Any, sample: Batch, layers: Sequence[LayerCoverage]) -> dict[int, float]:
    """Bytes of keys and values kept per token by each layer that keeps any; empty where the model keeps none."""
    inputs = model_inputs(model, sample).inputs
    if "use_cache" not in inputs:
        return {}
    with torch.no_grad(), eager(model):
        kept = getattr(model(**{**inputs, "use_cache": True}), "past_key_values", None)
    kept = list(getattr(getattr(kept, "self_attention_cache", kept), "layers", ()))
    held = [layer for layer in layers if layer.stack == "decoder" and layer.kind == "self"]
    found = {}
    for layer in held:
        if layer.block < len(kept):
            keys, values = (getattr(kept[layer.block], name, None) for name in ("keys", "values"))
            if keys is not None and values is not None and keys.dim() == 4:
                found[layer.index] = (keys.nbytes + values.nbytes) / (keys.shape[0] * keys.shape[-2])
    return found


def _parameters(modules: Sequence[nn.Module]) -> int:
    """Number of different parameters."""
    return sum(
        size for size in {id(p): p.numel() for module in modules for p in module.parameters()}.values()
    )
