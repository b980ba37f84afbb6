"""Share of what a block adds to the residual stream that its attention adds."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean, undefined
from audit.observations import ResidualObservation


def update_share(part: Tensor | None, other: Tensor | None, tokens: Tensor) -> Tensor:
    """Mean over tokens of ||part|| / (||part|| + ||other||), fraction [batch]; NaN where one was not seen.

    Tokens to which neither adds anything are left out.
    """
    if part is None or other is None:
        return undefined(tokens, tokens.shape[0])
    one, two = (torch.linalg.vector_norm(update.float(), dim=-1).double() for update in (part, other))
    return masked_mean(one / (one + two), tokens & (one + two != 0), -1)


def attention_share(observation: ResidualObservation) -> Tensor:
    """Share of the attention in the norms of what attention and MLP add, fraction [batch]."""
    return update_share(observation.attention_update, observation.mlp_update, observation.tokens)


METRIC = Metric(
    name="attention_share",
    title="Attention share",
    summary="How much of what a block adds to the residual stream comes from its attention.",
    observes="residual",
    axes="layer",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is a block whose MLP adds nothing, 0 is one whose attention adds nothing.",
    healthy="No published band. Near 0 is a first hint, no proof, that a block has become an MLP.",
    formula="mean over tokens of ||a|| / (||a|| + ||m||), a and m what attention and MLP add",
    reference="none: a descriptive statistic of this project",
    compute=attention_share,
    absent_when="the block has no MLP of its own, or one of the two updates was not seen",
)
