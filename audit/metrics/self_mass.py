"""Attention that tokens give to themselves."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def self_mass(observation: AttentionObservation) -> Tensor:
    """Mean attention of a head's rows on their own token, fraction [batch, head]; NaN for cross-attention."""
    if not observation.same_tokens:
        return observation.undefined
    return masked_mean(observation.sums.own, observation.visible_keys > 0, -1)


METRIC = Metric(
    name="self_mass",
    title="Self mass",
    summary="Attention that a token gives to itself.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is attention that mixes no tokens at all (it acts as part of an MLP), 0 is none on oneself.",
    healthy="No published band. Even attention reads 1/T where all keys are seen and about (log T + .58)/T under a "
    "causal mask.",
    formula="mean over rows i of A_ii",
    reference="Clark et al. 2019, What Does BERT Look At? (heads that attend to the token itself)",
    compute=self_mass,
    absent_when="cross-attention: queries and keys are different tokens",
)
