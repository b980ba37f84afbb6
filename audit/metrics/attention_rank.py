"""Number of directions that carry the attention pattern of a head."""

import math

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation
from audit.spectra import RELIABLE

SHARE = 0.9
ROUNDING = 1e-6  # where k directions carry exactly the share, rounding must not ask for one more
BEYOND = RELIABLE + 1.0  # a rank of more than `RELIABLE`


def attention_rank(observation: AttentionObservation) -> Tensor:
    """Least number of singular directions that carry 90% of each pattern's energy, rank [batch, head].

    `BEYOND` stands for every larger number: it would take more directions than the leading ones that are known.
    """
    values, energy, _ = observation.spectrum
    return rank_of(values, energy).clamp_max(BEYOND)


def rank_of(singular_values: Tensor, total: Tensor | None = None) -> Tensor:
    """The rank [...] of patterns with these leading singular values [..., value] and this energy [...]."""
    energy = singular_values.square()
    total = energy.sum(-1) if total is None else total
    short = energy.cumsum(-1) < (SHARE - ROUNDING) * total[..., None]
    rank = torch.where(total > 0, 1.0 + short.sum(-1).double(), math.nan)
    return torch.where(energy.isfinite().all(-1), rank, math.nan)


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
        "T = 100, where more than 8 reads 9: even attention 1 (all keys) or 5 (causal), identity 90, causal 90% sink + 10% previous token 1, "
        "60% + 40% 65, random causal scores of sd 1 and 3: 22 and 32. One alone tells no fault."
    ),
    formula="min k such that sum_{i<=k} s_i^2 >= .9 sum_i s_i^2",
    reference="Sanyal et al., Inheritune, arXiv 2404.08634 (approximate rank of attention matrices)",
    compute=attention_rank,
    beyond=BEYOND,
    spectral=True,
    absent_when="all attention of the head is on a learned sink outside the keys",
)
