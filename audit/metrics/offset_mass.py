"""How positional a head is: the most mass that any single relative offset receives."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.gathering import NEAR  # eight tokens: trained positional heads look at neighbours
from audit.observations import AttentionObservation


def offset_mass(observation: AttentionObservation) -> Tensor:
    """Largest mean mass on one key offset within eight tokens, fraction [batch, head]; NaN for cross-attention.

    A head that always looks at the previous token has an entropy of zero and is perfectly healthy; this number
    tells it from one whose attention collapsed. The mean runs over rows that may see the key at that offset; an
    offset that fewer than half of the rows may see is left out, or a sink of a short sample would pass for one.
    """
    if not observation.same_tokens:
        return observation.undefined
    rows = (observation.visible_keys > 0).sum(-1, keepdim=True)
    count = observation.mask.along(range(-NEAR, NEAR + 1))
    means = observation.sums.offsets / count
    return torch.where((count > 0) & (2 * count >= rows), means, 0.0).amax(-1)


METRIC = Metric(
    name="offset_mass",
    title="Mass on one offset",
    summary="Most attention that any fixed relative position within eight tokens receives.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is a purely positional head, such as one that reads the previous token.",
    healthy="No published band; previous-token heads of healthy models reach 1.",
    formula="max over |d| <= 8 of mean over rows i that may see key i + d of A_i,i+d; offsets that fewer than half "
    "of the rows may see are left out",
    reference="Voita et al. 2019, Analyzing Multi-Head Self-Attention (positional heads); the measure is this project's",
    compute=offset_mass,
    absent_when="cross-attention: queries and keys are different tokens",
)
