"""What tokens have beyond their mean, in the norm of the theorem on rank collapse."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import ResidualObservation


def token_residual_1_inf(observation: ResidualObservation) -> Tensor:
    """Composite (1, inf) norm of the tokens less their mean over that of the tokens, dimensionless [batch]."""
    real = observation.tokens[..., None]
    tokens = torch.where(real, observation.after.double(), 0.0)
    beyond = torch.where(real, tokens - tokens.sum(-2, keepdim=True) / real.sum(-2, keepdim=True), 0.0)
    return composite_norm(beyond) / composite_norm(tokens)


def composite_norm(matrices: Tensor) -> Tensor:
    """Square root of the largest column sum times the largest row sum of magnitudes, [batch]."""
    sizes = matrices.abs()
    return (sizes.sum(-2).amax(-1) * sizes.sum(-1).amax(-1)).sqrt()


METRIC = Metric(
    name="token_residual_1_inf",
    title="Residual ratio, (1, inf) norm",
    summary="Share of the tokens' size that is not common to all tokens, in the norm in which collapse is proved.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(0.0, None),
    direction="0 is rank collapse in depth: every token the same vector.",
    healthy="No published band; ruled by the largest channel and the largest token, so read token_residual first.",
    formula="r(Y - 1 m^T) / r(Y), r(Z) = sqrt(||Z||_1 ||Z||_inf), the largest column sum and the largest row sum of |Z|",
    reference="Dong, Cordonnier and Loukas 2021, Attention Is Not All You Need, arXiv 2103.03404",
    compute=token_residual_1_inf,
    absent_when="the tokens leaving the block are all zero",
    depths=("standard", "full"),
)
