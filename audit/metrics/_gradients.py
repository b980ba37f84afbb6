"""What the metrics of gradients share: sizes that no rescaling of weights or of the stream can change."""

import torch
from torch import Tensor

from audit.numerics import undefined
from audit.observations import PARTS, GradientObservation, Part

NOT_SEEN = "the checkpoint has no loss, or no such matrix was found in the layer"
WHY = (
    "Multiplied by the norm of the matrix, not divided by it: where a norm follows, scaling W by c divides its gradient "
    "by c and changes nothing else, and the product is the one that stays."
)


def sensitivity(observation: GradientObservation, part: Part) -> Tensor:
    """Norm of the gradient times the norm of the matrices of one part, nats [batch].

    It bounds how much the loss changes when the matrices change by a small share e of their norm: by e times this.
    """
    at = PARTS.index(part)
    return observation.gradient_norms[:, at].double() * observation.weight_norms[:, at].double()


def squared_norm(stream: Tensor | None, tokens: Tensor) -> Tensor:
    """Squared norm of what the real tokens hold, float64 [batch]; NaN where nothing was seen."""
    if stream is None:
        return undefined(tokens, tokens.shape[0])
    return torch.where(tokens, stream.double().square().sum(-1), 0.0).sum(-1)
