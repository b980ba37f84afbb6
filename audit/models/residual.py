"""Reads off the additions of a block what its attention and its MLP added to the residual stream."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from audit.models.tracing import Addition


class Sublayers(NamedTuple):
    """The residual stream of one block around one of its attentions, all [batch, token, width]."""

    before: Tensor
    between: Tensor | None
    after: Tensor
    attention_update: Tensor
    mlp_update: Tensor | None


def sublayers(
    additions: Sequence[Addition], attention: int, output: Any, *, positions: tuple[int, ...]
) -> Sublayers | None:
    """What surrounds the attention of that number; None where it is added to no stream of these [batch, token].

    The next update that descends from no attention is the MLP's. Without a matrix product between two additions
    both updates were computed from the same input (a parallel block), and there is nothing between them. In
    post-norm blocks the stream is what the next update is added to, after the norm.
    """
    after = hidden_states(output, positions)
    place = next((i for i, added in enumerate(additions) if added.attention == attention), None)
    if after is None or place is None or additions[place].stream.numel() != after.numel():
        return None
    here, later = additions[place], additions[place + 1 :]
    mlp = next((added.update for added in later if added.attention is None), here.beside)
    parallel = here.beside is not None if not later else later[0].products == here.products
    between = None if parallel else later[0].stream if later else after
    turned = tuple(after.shape[:2]) != positions

    def laid_out(part: Tensor) -> Tensor:
        part = part.reshape(after.shape)
        return part.transpose(0, 1) if turned else part

    return Sublayers(
        before=laid_out(here.stream),
        between=None if between is None else laid_out(between),
        after=laid_out(after),
        attention_update=laid_out(here.update),
        mlp_update=None if mlp is None else laid_out(mlp),
    )


def hidden_states(output: Any, positions: tuple[int, ...]) -> Tensor | None:
    """The hidden states among what a block returns, itself or the first of several; some families put time first."""
    if isinstance(output, dict):
        output = tuple(output.values())
    first = output[0] if isinstance(output, list | tuple) and output else output
    fits = isinstance(first, Tensor) and first.dim() == 3 and first.shape[:2] in (positions, positions[::-1])
    return first if fits else None
