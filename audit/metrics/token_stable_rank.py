"""Stable rank of the tokens that leave a block."""

from torch import Tensor

from audit.definitions import Metric
from audit.observations import ResidualObservation


def token_stable_rank(observation: ResidualObservation) -> Tensor:
    """Squared Frobenius over squared spectral norm of the Gram matrix of the tokens, rank [batch]."""
    energy = observation.token_singular_values.square()
    return (energy / energy[..., :1]).square().sum(-1)


METRIC = Metric(
    name="token_stable_rank",
    title="Token stable rank",
    summary="Number of directions along which the tokens of a sample are about as strong as along the strongest.",
    observes="residual",
    axes="layer",
    unit="rank",
    span=(1.0, None),
    direction="1 is rank collapse in width: all tokens on one line.",
    healthy="No published band for trained models. One token of huge norm alone forces it to 1: read it beside the form without sinks.",
    formula="||S||_F^2 / ||S||_2^2, S = X X^T, X the T x d tokens leaving the block",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799",
    compute=token_stable_rank,
    spectral=True,
    absent_when="the tokens leaving the block are all zero",
    depths=("standard", "full"),
)
