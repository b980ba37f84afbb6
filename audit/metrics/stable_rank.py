"""Stable rank of the attention pattern of a head."""

from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation


def stable_rank(observation: AttentionObservation) -> Tensor:
    """Squared Frobenius over squared spectral norm of each pattern, rank [batch, head]."""
    return observation.spectrum.energy / observation.spectrum.values[..., 0].square()


METRIC = Metric(
    name="stable_rank",
    title="Stable rank",
    summary="Number of directions of the attention pattern that are about as strong as its strongest.",
    observes="attention",
    axes="head",
    unit="rank",
    span=(1.0, None),
    direction="1 is a pattern of rank one; T is a pattern that keeps all tokens apart.",
    healthy=(
        "No published band. Even attention and a pure sink both read 1, whatever the length: tell them apart by "
        "attention_entropy and sink_mass."
    ),
    formula="||A||_F^2 / s_1^2",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799 (theirs is of the token "
    "covariance; here it is of the pattern)",
    compute=stable_rank,
    spectral=True,
    absent_when="all attention of the head is on a learned sink outside the keys",
)
