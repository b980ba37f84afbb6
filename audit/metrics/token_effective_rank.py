"""Share of the possible dimensions that the tokens leaving a block really use."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import row_entropy
from audit.observations import ResidualObservation


def token_effective_rank(observation: ResidualObservation) -> Tensor:
    """Effective rank of the tokens leaving the block over the most it could be, fraction [batch]."""
    most = observation.tokens.sum(-1).clamp_max(observation.after.shape[-1])
    return row_entropy(observation.token_singular_values).exp() / most


METRIC = Metric(
    name="token_effective_rank",
    title="Token effective rank",
    summary="Number of dimensions that the tokens of a sample span, against the most they could.",
    observes="residual",
    axes="layer",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is tokens spread over all dimensions; 1/min(T, d) is all tokens on one line.",
    healthy="No published band. It falls with any strong common direction; compare layers of one model.",
    formula="exp(-sum_i p_i log p_i) / min(T, d), p_i = s_i / sum_j s_j, s singular values of the T x d tokens",
    reference="Roy and Vetterli 2007, The Effective Rank; the division by min(T, d) is this project's",
    compute=token_effective_rank,
    spectral=True,
    absent_when="the tokens leaving the block are all zero",
)
