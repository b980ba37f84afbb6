"""Makes an observation of what the tracer found of one attention."""

from typing import NamedTuple

import torch
from torch import Tensor

from audit.models.fused import MASKED, Fused
from audit.models.inputs import Fed, Positions
from audit.models.tracing import Attention
from audit.observations import AttentionObservation
from audit.patterns import Source, Stored
from audit.results.subject import LayerCoverage


class Edit(NamedTuple):
    """What an attention layer goes on with instead of what it computed; None leaves it."""

    pattern: Tensor | None = None  # [batch, head, query, key]
    head_output: Tensor | None = None  # [batch, head, query, value_dim]


def is_whole(found: Attention, fed: Fed) -> bool:
    """Whether the rows of the pattern are whole softmaxes, one per head and query.

    Block-sparse attention cuts the softmax up (one part goes to one product, another to the next) or folds blocks
    of queries into an axis of its own.
    """
    lengths = (fed.encoder.tokens.shape[1], fed.decoder.tokens.shape[1])
    if isinstance(found.softmax, Fused):
        return found.softmax.source.shape[2] in lengths
    scores, pattern = found.softmax
    uncut = scores.shape[-2:] == pattern.shape[-2:]
    return uncut and (scores.dim() <= 4 or pattern.shape[-2] in lengths)


def observed_attention(found: Attention, layer: LayerCoverage, fed: Fed) -> AttentionObservation:
    """The observation of `layer`; `scores` are as masked as the family made them where a key is not visible."""
    rows = fed.encoder.tokens.shape[0]
    source = source_of(found, rows)
    queried = positions(fed, layer)
    attended = fed.encoder if layer.kind == "cross" else queried
    return AttentionObservation(
        layer=layer.index,
        kind=layer.kind,
        source=source,
        queries=_fitted(queried.tokens, source, along=-2),
        keys=_fitted(attended.tokens, source, along=-1),
        special=_fitted(attended.special, source, along=-1, there=False),
        query=by_head(found.query, rows),
        key=_once(found.key, found, rows),
        value=_once(found.value, found, rows),
        head_output=by_head(found.output, rows),
    )


def source_of(found: Attention, rows: int) -> Source:
    """Where the pattern is had from."""
    if isinstance(found.softmax, Fused):
        return found.softmax.source
    scores = by_head(found.scores, rows)
    visible = ~(scores <= MASKED)  # NaN counts as seen: a broken head must not read as one without keys
    return Stored(torch.where(visible, by_head(found.pattern, rows), 0.0), visible, scores)


def _once(tensor: Tensor, found: Attention, rows: int) -> Tensor:
    """Keys or values with each head of theirs once, [batch, key_value_head, key, head_dim]; kernels take either."""
    by = by_head(tensor, rows)
    return by[:, :: max(1, by.shape[1] * found.repetitions // by_head(found.query, rows).shape[1])]


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


def _fitted(mask: Tensor, source: Source, *, along: int, there: bool = True) -> Tensor:
    """The mask of the tokens; where an attention has positions that are no tokens, those that are visible or see."""
    if mask.shape[1] == source.shape[along]:
        return mask.to(source.device)
    if not there:
        return torch.zeros(source.shape[0], source.shape[along], dtype=torch.bool, device=source.device)
    return source.whole().visible.any(-1 if along == -2 else -2).any(1)
