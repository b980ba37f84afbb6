"""Attention that tokens give to the token before them."""

from torch import Tensor

from audit.definitions import Metric
from audit.gathering import NEAR
from audit.observations import AttentionObservation


def previous_token_mass(observation: AttentionObservation) -> Tensor:
    """Mean attention of a head's rows on the token before, fraction [batch, head]; NaN for cross-attention.

    The first real token has none before it and is left out.
    """
    if not observation.same_tokens:
        return observation.undefined
    rows = (observation.queries[:, 1:] & observation.keys[:, :-1]).sum(-1)
    return observation.sums.offsets[..., NEAR - 1] / rows[:, None]


METRIC = Metric(
    name="previous_token_mass",
    title="Previous token mass",
    summary="Attention that a token gives to the token just before it.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is a pure previous-token head, 0 is none of it.",
    healthy="No published band. Previous-token heads are ordinary and useful: a value near 1 explains a low entropy.",
    formula="mean over rows i > first of A_i,i-1",
    reference="Clark et al. 2019, What Does BERT Look At? (heads that attend to the previous token)",
    compute=previous_token_mass,
    absent_when="cross-attention: queries and keys are different tokens; or samples of one token",
)
