"""Stable rank of the tokens that leave a block, sink tokens left out."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import singular_values
from audit.observations import ResidualObservation


def token_stable_rank_without_sink(observation: ResidualObservation) -> Tensor:
    """Stable rank of the Gram matrix of the tokens that are no sink of the layer, rank [batch]."""
    energy = singular_values(observation.only(observation.tokens & ~observation.sinks)).square()
    return (energy / energy[..., :1]).square().sum(-1)


METRIC = Metric(
    name="token_stable_rank_without_sink",
    title="Token stable rank without sinks",
    summary="Number of directions along which the tokens but the sinks are about as strong as along the strongest.",
    observes="residual",
    axes="layer",
    unit="rank",
    span=(1.0, None),
    direction="1 is rank collapse in width: all tokens but the sinks on one line.",
    healthy="No published band for trained models; a strong common direction brings it near 1: SmolLM2-135M reads 1.01 to 1.03 through most of its depth.",
    formula="token_stable_rank over the tokens that are not in the sinks of any head of this layer or of one before it",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799; sinks left out after Queipo-de-Llano et al. 2025",
    compute=token_stable_rank_without_sink,
    spectral=True,
    absent_when="every token is a sink, or the tokens are all zero",
    depths=("standard", "full"),
)
