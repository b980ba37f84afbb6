"""Number of directions that carry the attention pattern of a head."""

import math

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation

SHARE = 0.9
ROUNDING = 1e-9  # where k directions carry exactly the share, rounding must not ask for one more


def attention_rank(observation: AttentionObservation) -> Tensor:
    """Least number of singular directions that carry 90% of each pattern's energy, rank [batch, head]."""
    return rank_of(observation.singular_values)


def rank_of(singular_values: Tensor) -> Tensor:
    """The rank [...] of patterns with these singular values [..., value], largest first."""
    energy = singular_values.square()
    total = energy.sum(-1, keepdim=True)
    short = energy.cumsum(-1) < (SHARE - ROUNDING) * total
    return torch.where(total[..., 0] > 0, 1.0 + short.sum(-1).double(), math.nan)


METRIC = Metric(
    name="attention_rank",
    title="Attention rank (90%)",
    summary="Number of singular directions that carry 90% of the squared attention pattern.",
    observes="attention",
    axes="head",
    unit="rank",
    span=(1.0, None),
    direction="1 is a pattern of nearly rank one, with which a layer is lazy if all its heads have it.",
    healthy=(
        "No published band for a healthy head; Sanyal et al. find about 1 throughout lazy layers. Computed at "
        "T = 100: even attention 1 (all keys) or 5 (causal), identity 90, causal 90% sink + 10% previous token 1, "
        "60% + 40% 65, random causal scores of sd 1 and 3: 22 and 32. One alone tells no fault."
    ),
    formula="min k such that sum_{i<=k} s_i^2 >= .9 sum_i s_i^2",
    reference="Sanyal et al., Inheritune, arXiv 2404.08634 (approximate rank of attention matrices)",
    compute=attention_rank,
    absent_when="all attention of the head is on a learned sink outside the keys",
)
