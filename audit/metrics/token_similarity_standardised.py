"""How alike the tokens are that leave a block, every channel on the same scale."""

import math

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import ResidualObservation

STILL = 1e-14  # variance over mean square below which a channel varies by the rounding of its values only
NOWHERE = 1e-6  # length in deviations below which a token stands at the mean and has no direction


def token_similarity_standardised(observation: ResidualObservation) -> Tensor:
    """Mean cosine over all pairs of tokens after a z-score of each channel across tokens, dimensionless [batch].

    A channel that does not vary within the sample says nothing about it and reads 0.
    """
    tokens = observation.tokens
    values = observation.leaving
    values = values if bool(tokens.all()) else torch.where(tokens[..., None], values, 0.0)
    count = tokens.sum(-1)[:, None].double()
    squares = values.square()
    mean, mean_square = values.sum(-2) / count, squares.sum(-2) / count
    variance = mean_square - mean.square()
    precision = torch.where(variance <= STILL * mean_square, 0.0, 1.0 / variance)  # [batch, width]
    # |(x - mean) / deviation|^2 of each token, and the sum of the unit vectors, without making a single score
    shift = (mean * precision)[..., None]
    norms = (squares @ precision[..., None] - 2.0 * (values @ shift))[..., 0]
    norms = (norms + (mean.square() * precision).sum(-1, keepdim=True)).clamp_min(0.0).sqrt()
    there = tokens & (norms > NOWHERE)
    weights = torch.where(there, 1.0 / norms, 0.0)
    total = (weights[:, None] @ values)[:, 0] - weights.sum(-1, keepdim=True) * mean
    found = there.sum(-1)
    pairs = torch.where(found > 1, found * (found - 1.0), math.nan)
    return ((total.square() * precision).sum(-1) - found) / pairs


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
