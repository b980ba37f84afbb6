"""Largest singular value of the attention pattern of a head."""

from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation


def sigma_1(observation: AttentionObservation) -> Tensor:
    """Largest singular value of each pattern, dimensionless [batch, head]."""
    return observation.spectrum.values[..., 0]


METRIC = Metric(
    name="sigma_1",
    title="Largest singular value",
    summary="Largest factor by which the attention pattern can stretch a signal along the tokens.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="1 is even mixing of all tokens; sqrt(T) is every row on one and the same key.",
    healthy=(
        "No published band for trained models. Random attention over all keys reads about 1; even causal attention "
        "reads 1.63 at T = 100 and 1.69 at T = 256: compare under one mask and one length only."
    ),
    formula="s_1 of A = U diag(s) V^T, rows of real tokens only",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799",
    compute=sigma_1,
    spectral=True,
)
