"""How far the scores of a head differ from key to key."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics.attention_entropy import LEAST_KEYS
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def score_spread(observation: AttentionObservation) -> Tensor:
    """Mean over rows of the standard deviation of a head's scores over the keys a row may see, [batch, head]."""
    spread = observation.score_deviation
    if spread is None:
        return observation.undefined
    return masked_mean(spread, observation.visible_keys >= LEAST_KEYS, -1)


METRIC = Metric(
    name="score_spread",
    title="Spread of scores",
    summary="Standard deviation of the scores that a row gives to the keys it may see, before the softmax.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="0 is even attention; the softmax of random scores freezes onto a few keys above sqrt(2 log n).",
    healthy="No published band: freezing of random scores is at sqrt(2 log n), 3.1 for 128 keys.",
    formula="mean over rows i with n_i >= 8 of sd_j(a_ij), j over the keys that i may see",
    reference="Giorlandino and Goldt, arXiv 2505.24333 (sigma_a, measured on the checkpoint instead of derived)",
    compute=score_spread,
    absent_when="scores were not seen in the pass, or no row sees 8 keys",
)
