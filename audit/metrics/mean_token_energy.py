"""Share of the tokens' energy that lies in their mean."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import ResidualObservation


def mean_token_energy(observation: ResidualObservation) -> Tensor:
    """Squared norm of the mean over the mean squared norm of the tokens that are no sinks, fraction [batch]."""
    kept = (observation.tokens & ~observation.sinks)[..., None]
    tokens = torch.where(kept, observation.after.double(), 0.0)
    mean = tokens.sum(-2) / kept.sum(-2)
    return mean.square().sum(-1) / (tokens.square().sum((-2, -1)) / kept.sum((-2, -1)))


METRIC = Metric(
    name="mean_token_energy",
    title="Energy in the mean token",
    summary="How much of the tokens' energy one vector, the same for all of them, carries; sinks left out.",
    observes="residual",
    axes="layer",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is tokens that are all the same vector, 1/T is tokens without anything in common.",
    healthy="No published band. A common vector is ordinary in trained models; what counts is whether it grows towards 1 with depth.",
    formula="||mean_t y_t||^2 / mean_t ||y_t||^2 over the tokens t that are no sinks, y leaving the block",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799 (the direction of the all-ones vector)",
    compute=mean_token_energy,
    absent_when="every token is a sink, or the tokens are all zero",
    depths=("standard", "full"),
)
