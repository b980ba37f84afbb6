"""Part of the attention pattern of a head that no rank-one pattern can give."""

from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation


def rank_one_residual(observation: AttentionObservation) -> Tensor:
    """Relative Frobenius distance of each pattern from the nearest matrix of rank one, fraction [batch, head].

    Summed from the second singular value on: taking the first from the whole would lose small residuals.
    """
    return (observation.spectrum.rest / observation.spectrum.energy).sqrt()


METRIC = Metric(
    name="rank_one_residual",
    title="Rank-one residual",
    summary="Share of the attention pattern that differs from row to row beyond one common mixture.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="0 is a pattern of rank one: every row reads the same mixture, up to a factor.",
    healthy=(
        "No published band. Even attention over all keys and a pure sink read 0; the identity reads sqrt(1 - 1/T). "
        "Never judge it alone: see attention_rank."
    ),
    formula="sqrt(1 - s_1^2 / ||A||_F^2)",
    reference="Eckart and Young 1936 for the nearest rank-one matrix; Dong et al. 2021, Attention Is Not All You "
    "Need, for the ratio on paths of heads",
    compute=rank_one_residual,
    spectral=True,
    absent_when="all attention of the head is on a learned sink outside the keys",
)
