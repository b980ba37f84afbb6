"""Makes an observation of what the tracer found of one attention."""

from typing import NamedTuple

import torch
from torch import Tensor

from audit.models.inputs import Fed, Positions
from audit.models.tracing import Attention
from audit.observations import AttentionObservation
from audit.results.subject import LayerCoverage

# scores below are masked: families add -1e4, -1e9, the least finite number or minus infinity
MASKED = -9000.0


class Edit(NamedTuple):
    """What an attention layer goes on with instead of what it computed; None leaves it."""

    pattern: Tensor | None = None  # [batch, head, query, key]
    head_output: Tensor | None = None  # [batch, head, query, value_dim]


def is_whole(found: Attention, fed: Fed) -> bool:
    """Whether the rows of the pattern are whole softmaxes, one per head and query.

    Block-sparse attention cuts the softmax up (one part goes to one product, another to the next) or folds blocks
    of queries into an axis of its own.
    """
    scores, pattern = found.scores, found.pattern
    lengths = (fed.encoder.tokens.shape[1], fed.decoder.tokens.shape[1])
    uncut = scores.shape[-2:] == pattern.shape[-2:]
    return uncut and (scores.dim() <= 4 or pattern.shape[-2] in lengths)


def observed_attention(found: Attention, layer: LayerCoverage, fed: Fed) -> AttentionObservation:
    """The observation of `layer`; `scores` are as masked as the family made them where a key is not visible."""
    rows = fed.encoder.tokens.shape[0]
    pattern, scores = by_head(found.pattern, rows), by_head(found.scores, rows)
    visible = ~(scores <= MASKED)  # NaN counts as seen: a broken head must not read as one without keys
    queried = positions(fed, layer)
    attended = fed.encoder if layer.kind == "cross" else queried
    return AttentionObservation(
        layer=layer.index,
        kind=layer.kind,
        pattern=torch.where(visible, pattern, 0.0),
        visible=visible,
        queries=_fitted(queried.tokens, visible, along=-2),
        keys=_fitted(attended.tokens, visible, along=-1),
        special=_fitted(attended.special, torch.zeros_like(visible), along=-1),
        scores=scores,
        query=by_head(found.query, rows),
        key=by_head(found.key, rows)[:, :: found.repetitions],
        value=by_head(found.value, rows)[:, :: found.repetitions],
        head_output=by_head(found.output, rows),
    )


def positions(fed: Fed, layer: LayerCoverage) -> Positions:
    """The positions of the stack that `layer` stands in."""
    return fed.encoder if layer.stack == "encoder" else fed.decoder


def edited(found: Attention, edit: Edit | None) -> Tensor:
    """The output to go on with: what was computed, where `edit` leaves it so."""
    output = found.output
    if edit is not None and edit.pattern is not None:
        output = found.again(edit.pattern.reshape(found.pattern.shape).to(found.pattern.dtype))
    if edit is not None and edit.head_output is not None:
        output = edit.head_output.reshape(output.shape).to(output.dtype)
    return output


def by_head(tensor: Tensor, rows: int) -> Tensor:
    """[batch * head, a, b], or with more axes before the last two, as [batch, head, a, b]."""
    return tensor.reshape(rows, -1, *tensor.shape[-2:])


def _fitted(mask: Tensor, visible: Tensor, *, along: int) -> Tensor:
    """The mask of the tokens; where an attention has positions that are no tokens, those that are visible or see."""
    if mask.shape[1] == visible.shape[along]:
        return mask.to(visible.device)
    return visible.any(-1 if along == -2 else -2).any(1)
