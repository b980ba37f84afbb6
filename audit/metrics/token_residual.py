"""What tokens have beyond their mean."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import ResidualObservation


def token_residual(observation: ResidualObservation) -> Tensor:
    """Frobenius norm of the tokens less their mean over that of the tokens, fraction [batch]."""
    real = observation.tokens[..., None]
    tokens = torch.where(real, observation.after.double(), 0.0)
    beyond = torch.where(real, tokens - tokens.sum(-2, keepdim=True) / real.sum(-2, keepdim=True), 0.0)
    return (beyond.square().sum((-2, -1)) / tokens.square().sum((-2, -1))).sqrt()


METRIC = Metric(
    name="token_residual",
    title="Residual ratio",
    summary="Share of the tokens' size that is not common to all tokens of the sample.",
    observes="residual",
    axes="layer",
    unit="fraction",
    span=(0.0, 1.0),
    direction="0 is rank collapse in depth: every token the same vector.",
    healthy="No published band; Dong et al. show it falling to 0 within a few layers without skip connections and staying of order 1 with them.",
    formula="||Y - 1 m^T||_F / ||Y||_F, Y the T x d tokens leaving the block, m their mean",
    reference="Dong, Cordonnier and Loukas 2021, Attention Is Not All You Need, arXiv 2103.03404 (theirs in the norm of token_residual_1_inf)",
    compute=token_residual,
    absent_when="the tokens leaving the block are all zero",
    depths=("standard", "full"),
)
