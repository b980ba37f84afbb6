"""How far back or ahead a head looks."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def attention_distance(observation: AttentionObservation) -> Tensor:
    """Mean distance from a token to what its row reads, tokens [batch, head]; NaN for cross-attention.

    Rows are renormalised over their keys: a learned sink column is nowhere, and at no distance.
    """
    if not observation.same_tokens:
        return observation.undefined
    total = observation.sums.total
    rows = (observation.visible_keys > 0) & (total != 0)
    return masked_mean(observation.sums.distances / total, rows, -1)


METRIC = Metric(
    name="attention_distance",
    title="Attention distance",
    summary="Mean number of tokens between a token and what its row reads.",
    observes="attention",
    axes="head",
    unit="tokens",
    span=(0.0, None),
    direction="Larger values mean looking farther; 0 is every token reading itself.",
    healthy=(
        "No published band. Even attention reads (T^2 - 1) / (3 T) where all keys are seen and (T - 1) / 4 under "
        "a causal mask, all mass on the first token (T - 1) / 2: a large value may only be a sink."
    ),
    formula="mean over rows i of sum_j p_ij |i - j|, p_ij = A_ij / sum_j A_ij",
    reference="Vig and Belinkov 2019, Analyzing the Structure of Attention in a Transformer Language Model "
    "(mean distance)",
    compute=attention_distance,
    absent_when="cross-attention: queries and keys are different tokens",
)
