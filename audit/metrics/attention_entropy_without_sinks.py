"""Entropy of the attention rows of a head when its sinks are taken away."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics.attention_entropy import LEAST_KEYS
from audit.numerics import entropy, masked_mean
from audit.observations import AttentionObservation

LEAST_MASS = 0.01  # what a row must keep off the sinks for its shape to mean anything


def attention_entropy_without_sinks(observation: AttentionObservation) -> Tensor:
    """Mean entropy of what a head's rows keep off its sinks, over the log of those keys, fraction [batch, head].

    Tells low entropy that a sink explains from low entropy that it does not.
    """
    kept = observation.kept
    rows = (kept.keys >= LEAST_KEYS) & ~(kept.total < LEAST_MASS)
    return masked_mean(entropy(kept.total, kept.logarithms) / kept.keys.double().log(), rows, -1)


METRIC = Metric(
    name="attention_entropy_without_sinks",
    title="Attention entropy without sinks",
    summary="How evenly a head spreads the attention that it does not leave on sinks.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is attention spread evenly over all visible keys but the sinks, 0 is all of it on one key.",
    healthy=(
        "No published band. Low attention_entropy with this one high is an attention sink, which healthy models "
        "have; both low is concentration that no sink explains (previous-token heads show it too)."
    ),
    formula="as attention_entropy, with A_ij = 0 and not counted in n_i for j in the head's sinks; rows with "
    "n_i < 8 or with less than 1% of mass left are left out",
    reference="Zhai et al. 2023, arXiv 2303.06296, for the entropy; Gu et al., ICLR 2025, When Attention Sink "
    "Emerges in Language Models, for the sinks; their combination is this project's",
    compute=attention_entropy_without_sinks,
    absent_when="the head leaves less than 1% of its attention off its sinks, or no row sees 8 other keys",
)
