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
    tokens, values = observation.tokens, observation.leaving
    real = None if bool(tokens.all()) else tokens[..., None]
    count = tokens.sum(-1)[:, None].double()
    mean = _kept(values, real).sum(-2) / count  # [batch, width]
    away = _kept(values - mean[:, None], real)
    squares = away.square()
    variance = squares.sum(-2) / count
    still = variance <= STILL * (variance + mean.square())
    precision = torch.where(still, 0.0, 1.0 / variance)
    norms = squares.mul_(precision[:, None]).sum(-1).sqrt()
    there = tokens & (norms > NOWHERE)
    weights = torch.where(there, 1.0 / norms, 0.0)
    total = (weights[:, None] @ away)[:, 0]  # of the unit vectors, but for the deviations
    found = there.sum(-1)
    pairs = torch.where(found > 1, found * (found - 1.0), math.nan)
    return ((total.square() * precision).sum(-1) - found) / pairs


def _kept(values: Tensor, real: Tensor | None) -> Tensor:
    return values if real is None else torch.where(real, values, 0.0)


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
