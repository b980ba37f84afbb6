"""Entropy of the attention rows of a head, as a share of the most they could have."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import entropy, masked_mean
from audit.observations import AttentionObservation

LEAST_KEYS = 8  # rows that see fewer keys are left out: their entropy is short of log n by construction


def attention_entropy(observation: AttentionObservation) -> Tensor:
    """Mean entropy of a head's rows over the log of the keys each row may see, fraction [batch, head].

    Rows are renormalised over their keys, so that mass drained by a learned sink column does not count.
    """
    rows = observation.visible_keys >= LEAST_KEYS
    total = observation.sums.total
    share = entropy(total, observation.sums.logarithms) / observation.visible_keys.double().log()
    return masked_mean(share, rows & (total != 0), -1)


METRIC = Metric(
    name="attention_entropy",
    title="Attention entropy",
    summary="How evenly a head spreads its attention over the keys it may see.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is attention spread evenly over all visible keys, 0 is all attention on one key.",
    healthy=(
        "No published band: Zhai et al. call 'near zero' pathological and give no number. Computed for this "
        "project: a re-initialised model reads .993 to .999; softmax of Gaussian scores at the freezing point "
        "sqrt(2 log T) reads .43, .39, .37 at T = 128, 512, 1024; below .1 about one key is left. Low values are "
        "common in trained models and mostly sinks: read it with attention_entropy_without_sinks."
    ),
    formula="mean over rows i with n_i >= 8 of -sum_j p_ij log p_ij / log n_i, p_ij = A_ij / sum_j A_ij, "
    "n_i = keys visible to row i",
    reference="Zhai et al. 2023, Stabilizing Transformer Training by Preventing Attention Entropy Collapse, "
    "arXiv 2303.06296; the division by log n_i is this project's",
    compute=attention_entropy,
    absent_when="no row of any sample sees 8 keys",
)
