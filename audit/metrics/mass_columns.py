"""Number of keys that hold most of the squared attention of a head."""

import math

import numpy as np
import torch
from torch import Tensor

from audit.definitions import Metric
from audit.metrics.attention_rank import ROUNDING, SHARE
from audit.observations import AttentionObservation


def columns_holding_most(pattern: Tensor) -> Tensor:
    """Least number of columns that hold 90% of the energy of each pattern [..., query, key], keys [...]."""
    return columns_of(pattern.square().sum(-2))


def columns_of(energy: Tensor) -> Tensor:
    """The same of the energy of each column, float64 [..., key]."""
    total = energy.sum(-1, keepdim=True)
    largest = np.sort(energy.cpu().numpy(), -1)[..., ::-1]  # in a twentieth of the time of torch's
    held = torch.from_numpy(largest.cumsum(-1)).to(energy.device)
    return torch.where(
        total[..., 0] > 0, 1.0 + (held < (SHARE - ROUNDING) * total).sum(-1).double(), math.nan
    )


def mass_columns(observation: AttentionObservation) -> Tensor:
    """Least number of keys that hold 90% of each pattern's energy, keys [batch, head]."""
    return torch.where(observation.finite, columns_of(observation.sums.energy), math.nan)


METRIC = Metric(
    name="mass_columns",
    title="Columns holding 90%",
    summary="Number of keys that hold 90% of the squared attention pattern.",
    observes="attention",
    axes="head",
    unit="keys",
    span=(1.0, None),
    direction="1 is a pattern that is one column, as in lazy layers and in heads that rest on a sink.",
    healthy=(
        "No published band for a healthy head; Sanyal et al. show 20 to 30 in the first layers of a GPT-2 medium of "
        "theirs, 1 to 4.5 in its second half (T = 100, mean over heads)."
    ),
    formula="min k such that the k largest m_j hold .9 of sum_j m_j, m_j = |A_.j|^2",
    reference="Sanyal et al., Inheritune, arXiv 2404.08634 (mass of single columns)",
    compute=mass_columns,
    absent_when="all attention of the head is on a learned sink outside the keys",
)
