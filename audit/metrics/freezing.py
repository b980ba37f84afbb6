"""How near the scores of a head are to freezing its attention onto a few keys."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics.attention_entropy import LEAST_KEYS
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def freezing(observation: AttentionObservation) -> Tensor:
    """Mean over rows of the spread of scores over the spread that would freeze random ones, fraction [batch, head]."""
    spread = observation.score_deviation
    if spread is None:
        return observation.undefined
    rows = observation.visible_keys >= LEAST_KEYS
    critical = (2 * observation.visible_keys.clamp_min(LEAST_KEYS).double().log()).sqrt()
    return masked_mean(spread / critical, rows, -1)


METRIC = Metric(
    name="freezing",
    title="Nearness to freezing",
    summary="Spread of a head's scores, as a share of the spread at which random scores freeze onto a few keys.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, None),
    direction="0 is even attention; at 1 the softmax of random scores freezes; beyond it a few keys take all.",
    healthy=(
        "No published band for trained models. Freezing is smooth at real lengths: at exactly 1, random scores keep .43 "
        "(.37) of the possible entropy at 128 (1024) keys. Scores that were learnt are not random: a sink alone exceeds 1."
    ),
    formula="mean over rows i with n_i >= 8 of s_i / sqrt(2 ln n_i), s_i = sd_j(a_ij) over the n_i keys that i may see",
    reference="Giorlandino and Goldt, arXiv 2505.24333 (freezing of the softmax of random energies)",
    compute=freezing,
    absent_when="scores were not seen in the pass, or no row sees 8 keys",
    depths=("standard", "full"),
)
