"""How alike the tokens are that leave a block, sink tokens left out."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import mean_pairwise_cosine
from audit.observations import ResidualObservation


def token_similarity_without_sink(observation: ResidualObservation) -> Tensor:
    """Mean cosine over all pairs of tokens that are no sink of the layer, dimensionless [batch]."""
    return mean_pairwise_cosine(observation.leaving, observation.tokens & ~observation.sinks)


METRIC = Metric(
    name="token_similarity_without_sink",
    title="Token similarity without sinks",
    summary="Mean cosine between the tokens of a sample after a block, sink tokens left out.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(-1.0, 1.0),
    direction="1 is rank collapse: all tokens but the sinks point the same way. 0 is no likeness.",
    healthy="No published band. Compare with token_similarity: the difference is what sink tokens make.",
    formula="token_similarity over the tokens that are not in the sinks of any head of this layer or of one before it",
    reference="Queipo-de-Llano et al. 2025 (one token of huge norm forces a dominant singular value)",
    compute=token_similarity_without_sink,
    absent_when="fewer than two tokens are no sink",
)
