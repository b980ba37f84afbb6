"""How alike the tokens are that leave a block."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import mean_pairwise_cosine
from audit.observations import ResidualObservation


def token_similarity(observation: ResidualObservation) -> Tensor:
    """Mean cosine over all pairs of tokens leaving the block, dimensionless [batch]."""
    return mean_pairwise_cosine(observation.leaving, observation.tokens)


METRIC = Metric(
    name="token_similarity",
    title="Token similarity",
    summary="Mean cosine between the tokens of a sample after a block.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(-1.0, 1.0),
    direction="1 is rank collapse: all tokens point the same way. 0 is no likeness.",
    healthy=(
        "No published band. .88 to .97 in most layers was seen in a healthy causal model (this project): a few "
        "massive channels or tokens are enough, so read it with the standardised form and the one without sinks."
    ),
    formula="mean over pairs t != u of cos(y_t, y_u), y leaving the block",
    reference="Noci et al. 2022, Signal Propagation in Transformers, arXiv 2206.03126 (correlation between tokens)",
    compute=token_similarity,
    absent_when="samples of one token",
)
