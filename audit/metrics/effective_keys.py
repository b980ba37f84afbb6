"""Number of keys that a head's rows effectively read."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def effective_keys(observation: AttentionObservation) -> Tensor:
    """Mean over a head's rows of 1 / sum of squared shares, keys [batch, head].

    Rows are renormalised over their keys: otherwise a learned sink column would make it exceed their number.
    """
    total, squares = observation.sums.total, observation.sums.squares
    return masked_mean(total.square() / squares, (observation.visible_keys > 0) & (total != 0), -1)


METRIC = Metric(
    name="effective_keys",
    title="Effective keys",
    summary="Number of equally weighted keys that would concentrate attention as much as the head does.",
    observes="attention",
    axes="head",
    unit="keys",
    span=(1.0, None),
    direction="1 is one key per row; n_i, the keys visible to the row, is attention spread evenly.",
    healthy="No published band. Even attention reads T where all keys are seen and (T + 1) / 2 under a causal mask.",
    formula="mean over rows i of 1 / sum_j p_ij^2, p_ij = A_ij / sum_j A_ij",
    reference="Hill 1973, Diversity and Evenness (the number of order 2); its use on attention is this project's",
    compute=effective_keys,
    absent_when="all attention of the head is on a learned sink outside the keys",
)
