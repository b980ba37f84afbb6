"""What can be taken out of a model, and how it is replaced while the model runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from audit.models.attention import by_head
from audit.models.fused import MASKED
from audit.models.tracing import Addition, Attention
from audit.results.subject import LayerCoverage

Target = Literal["head", "attention", "block"]
Replacement = Literal["mean", "zero", "uniform", "identity", "skip", "cooled", "centred"]
_PATTERNS = ("uniform", "identity", "cooled", "centred")
Means = Mapping[int, Tensor]  # of the head outputs of a layer over a corpus, [head, value_dim], by layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """One part of the model and what stands in for it.

    mean       the heads' outputs are their mean over a corpus: they may hold a constant, but know nothing of the text
    zero       the heads' outputs are zero
    uniform    the heads look at every key they may see, equally
    identity   the heads look at their own token only
    skip       the attention sublayer, or the block, adds nothing to the residual stream
    cooled     the heads' scores are multiplied by `factor`: a remedy, not an ablation
    centred    the heads' patterns are what they have beyond even attention: a remedy as well
    """

    target: Target
    layer: int  # index into coverage.layers; a block is named by any of its layers
    replacement: Replacement
    heads: tuple[int, ...] = ()  # empty: all
    factor: float = 1.0  # of the scores, where they are cooled


Cut = tuple[Ablation, ...]  # taken out together; empty: the model as it is


def impossible(ablation: Ablation, layers: Sequence[LayerCoverage]) -> str | None:
    """Why this cannot be taken out, or None where it can."""
    layer = layers[ablation.layer]
    if ablation.target == "block":
        return None
    if layer.reason is not None:
        return f"layer {layer.index} is not observed: {layer.reason}"
    if ablation.replacement == "identity" and layer.kind == "cross":
        return f"layer {layer.index} reads another text than it writes: its tokens have no own key"
    return None


def replaced(found: Attention, ablations: Sequence[Ablation], *, rows: int, means: Means) -> Tensor:
    """The head outputs to go on with, shaped as the attention left them.

    Args:
        found: the attention as it was computed.
        ablations: those of this layer; `skip` is none of its business.
        rows: samples in the batch.
        means: the layers' mean head outputs, for those replaced by their mean.
    """
    output = found.output
    patterned = [a for a in ablations if a.replacement in _PATTERNS]
    if patterned:
        pattern = by_head(found.pattern, rows).clone()
        for ablation in patterned:
            stand_in = _pattern(ablation, by_head(found.scores, rows), pattern)
            pattern[:, _heads(ablation)] = stand_in[:, _heads(ablation)]
        output = found.again(pattern.reshape(found.pattern.shape))
    silenced = [a for a in ablations if a.replacement in ("mean", "zero")]
    if silenced:
        output = output.clone()
        outputs = by_head(output, rows)  # a view
        for ablation in silenced:
            outputs[:, _heads(ablation)] = _constant(ablation, outputs, means)
    return output


def without_attention(added: Addition) -> Tensor:
    """The residual stream as it would be had the attention added nothing; a parallel MLP's share stays."""
    return added.stream if added.beside is None else added.stream + added.beside


def _heads(ablation: Ablation) -> list[int] | slice:
    return list(ablation.heads) or slice(None)


def cooled(scores: Tensor, factor: float) -> Tensor:
    """The pattern of scores [..., query, key] times `factor`; masked keys stay masked, fully masked rows give zeros."""
    visible = scores > MASKED
    pattern = torch.where(visible, factor * scores, -torch.inf).softmax(-1)
    return torch.where(visible, pattern, 0.0)


def _pattern(ablation: Ablation, scores: Tensor, like: Tensor) -> Tensor:
    """The pattern that stands in, [batch, head, query, key]."""
    if ablation.replacement == "cooled":
        return cooled(scores, ablation.factor).to(like.dtype).expand_as(like)
    if ablation.replacement == "identity":
        eye = torch.eye(*like.shape[-2:], dtype=like.dtype, device=like.device)
        return eye.expand_as(like)
    seen = (scores > MASKED).to(like.dtype)
    even = (seen / seen.sum(-1, keepdim=True).clamp_min(1)).expand_as(like)
    return like - even if ablation.replacement == "centred" else even


def _constant(ablation: Ablation, like: Tensor, means: Means) -> Tensor | float:
    """What stands in for head outputs [batch, head, query, value_dim]."""
    if ablation.replacement == "zero":
        return 0.0
    return means[ablation.layer].to(like)[_heads(ablation), None, :]
