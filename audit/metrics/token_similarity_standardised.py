"""How alike the tokens are that leave a block, every channel on the same scale."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import mean_pairwise_cosine
from audit.observations import ResidualObservation


def token_similarity_standardised(observation: ResidualObservation) -> Tensor:
    """Mean cosine over all pairs of tokens after a z-score of each channel across tokens, dimensionless [batch].

    A channel that does not vary within the sample says nothing about it and reads 0.
    """
    tokens = observation.tokens[..., None]
    count = tokens.sum(-2, keepdim=True)
    values = torch.where(tokens, observation.leaving, 0.0)
    centred = torch.where(tokens, values - values.sum(-2, keepdim=True) / count, 0.0)
    deviation = (centred.square().sum(-2, keepdim=True) / count).sqrt()
    still = deviation <= 1e-12 * values.abs().amax(-2, keepdim=True)
    scores = centred.mul_(torch.where(still, 0.0, 1.0 / deviation))
    return mean_pairwise_cosine(scores, observation.tokens)


METRIC = Metric(
    name="token_similarity_standardised",
    title="Token similarity, standardised",
    summary="Mean cosine between the tokens of a sample after a z-score of each channel across them.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(-1.0, 1.0),
    direction="Larger values mean that tokens stay alike when no channel is allowed to dominate.",
    healthy=(
        "No published band; tokens without likeness read about -1/(T - 1). Never judge rank collapse by it alone: "
        "the z-score takes the common vector out, and with it a collapse onto that vector."
    ),
    formula="token_similarity of z_tc = (y_tc - mean_t y_tc) / sd_t y_tc",
    reference="Timkey and van Schijndel 2021, All Bark and No Bite (standardised similarity)",
    compute=token_similarity_standardised,
    absent_when="samples of one token, or of tokens that do not differ at all",
)
