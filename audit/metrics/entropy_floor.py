"""The entropy below which scores of their size cannot bring a head."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.metrics.attention_entropy import LEAST_KEYS
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def least_entropy(radius: Tensor, keys: Tensor) -> Tensor:
    """Least entropy in nats of a softmax over `keys` scores at a distance `radius` from their mean, float64.

    It is that of one score above and all others alike; 0 for one key.
    """
    n, r = keys.double(), radius.double()
    others = (n - 1).clamp_min(1)
    b = (-r * (n / others).sqrt()).exp()
    bound = torch.log1p(others * b) + r * (n * others).sqrt() * b / (1 + others * b)
    return torch.where(keys > 1, bound, 0.0 * r)


def entropy_floor(observation: AttentionObservation) -> Tensor:
    """Mean over rows of the least entropy their scores allow over the log of their keys, fraction [batch, head]."""
    spread = observation.score_deviation
    if spread is None:
        return observation.undefined
    keys = observation.visible_keys.clamp_min(LEAST_KEYS)
    floor = least_entropy(spread * keys.double().sqrt(), keys) / keys.double().log()
    return masked_mean(floor, observation.visible_keys >= LEAST_KEYS, -1)


METRIC = Metric(
    name="entropy_floor",
    title="Entropy floor",
    summary="Least attention entropy that scores of this size allow, whatever they are.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is scores too small to be anything but even; near 0 nothing keeps the head from one key.",
    healthy=(
        "No published band: trained heads lie near 0, where the bound allows everything. Above .1 entropy collapse is "
        "out of reach of these scores."
    ),
    formula="mean over rows of [ln(1 + (n-1) b) + R sqrt(n(n-1)) b / (1 + (n-1) b)] / ln n, b = exp(-R sqrt(n/(n-1))), "
    "R = ||a_i - mean||_2 over the n keys row i may see",
    reference="Zhai et al. 2023, arXiv 2303.06296 (lower bound on attention entropy, with the measured R of each row in "
    "place of the product of spectral norms)",
    compute=entropy_floor,
    absent_when="scores were not seen in the pass, or no row sees 8 keys",
    depths=("standard", "full"),
)
