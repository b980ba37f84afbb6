"""How a block brings tokens together or apart."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import mean_pairwise_cosine, undefined
from audit.observations import ResidualObservation

RESOLUTION = 1e-6  # of a cosine, in float32


def angle_exponent(observation: ResidualObservation) -> Tensor:
    """Log of what two tokens differ by after over before the block, dimensionless [batch]; sinks left out."""
    if not observation.opens_block:
        return undefined(observation.after, observation.after.shape[0])
    kept = observation.tokens & ~observation.sinks
    before, after = (
        1.0 - mean_pairwise_cosine(stream, kept) for stream in (observation.entering, observation.leaving)
    )
    apart = (before > RESOLUTION) & (after > RESOLUTION)
    return torch.where(apart, (after / before).log(), torch.nan)


METRIC = Metric(
    name="angle_exponent",
    title="Angle exponent",
    summary="Whether a block turns tokens apart or together, in powers of e.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(None, None),
    direction="Below 0 tokens come together, above 0 they come apart; their sum over the blocks is the whole depth's.",
    healthy="No published band for trained models: at initialisation 0 is best. Trained models move both ways from block to block.",
    formula="ln((1 - c_after) / (1 - c_before)), c the mean cosine over pairs of tokens that are no sinks, entering and leaving the block",
    reference="Cowsik et al. 2024, Geometric Dynamics of Signal Propagation, arXiv 2403.02579 (lambda_a; theirs is at cosines near 1, at initialisation)",
    compute=angle_exponent,
    absent_when="not the first attention layer of its block, fewer than two tokens that are no sink, or tokens that are all alike",
    depths=("standard", "full"),
)
