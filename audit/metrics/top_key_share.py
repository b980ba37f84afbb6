"""Share of attention that goes to the first choice of each row."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def top_key_share(observation: AttentionObservation) -> Tensor:
    """Mean over a head's rows of the largest share that one key gets, fraction [batch, head].

    Rows are renormalised over their keys, as in attention_entropy and effective_keys.
    """
    total = observation.sums.total
    return masked_mean(observation.sums.largest / total, (observation.visible_keys > 0) & (total != 0), -1)


METRIC = Metric(
    name="top_key_share",
    title="Top key share",
    summary="Share of a row's attention that its most attended key gets, whichever key that is.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is every row on one key of its own choice; 1/n_i is attention spread evenly.",
    healthy="No published band. Even attention reads 1/T where all keys are seen and about (log T + .58)/T under "
    "a causal mask; high values are ordinary in heads with a sink or a positional pattern.",
    formula="mean over rows i of max_j p_ij, p_ij = A_ij / sum_j A_ij",
    reference="Berger and Parker 1970 (dominance index); its use on attention is this project's",
    compute=top_key_share,
    absent_when="all attention of the head is on a learned sink outside the keys",
)
