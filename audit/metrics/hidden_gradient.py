"""How much the loss hangs on the residual stream at a depth."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import undefined
from audit.observations import GradientObservation


def hidden_gradient(observation: GradientObservation) -> Tensor:
    """Sum over tokens of the norms of stream and loss gradient leaving the block, nats [batch]."""
    hidden, gradient, tokens = observation.hidden, observation.hidden_gradient, observation.tokens
    if hidden is None or gradient is None or not observation.opens_block:
        return undefined(tokens, tokens.shape[0])
    norms = torch.linalg.vector_norm(hidden.double(), dim=-1)
    return torch.where(tokens, norms * torch.linalg.vector_norm(gradient.double(), dim=-1), 0.0).sum(-1)


METRIC = Metric(
    name="hidden_gradient",
    title="Gradient of the residual stream",
    summary="How strongly the loss of a text reacts to a small relative change of its tokens after a block.",
    observes="gradient",
    axes="layer",
    unit="nats",
    span=(0.0, None),
    direction="About even over depth is healthy; 0 is a stream that no longer reaches the loss.",
    healthy=(
        "No published band. The gradient alone is misleading: in a healthy model whose stream grows 200-fold its square "
        "falls 18,700-fold from the first block to the last, and the product with the stream is flat (this project)."
    ),
    formula="sum over tokens t of ||dL/dy_t|| ||y_t||, y leaving the block, L the loss of one text in nats per token",
    reference="none: a descriptive statistic of this project",
    compute=hidden_gradient,
    absent_when="the checkpoint has no loss, or the stream between blocks was not seen",
    depths=("full",),
)
