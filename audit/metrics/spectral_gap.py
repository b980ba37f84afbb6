"""Gap between the two largest singular values of the attention pattern of a head."""

from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation


def spectral_gap(observation: AttentionObservation) -> Tensor:
    """First minus second singular value of each pattern, dimensionless [batch, head]."""
    values = observation.spectrum.values
    return values[..., 0] - values[..., 1:2].sum(-1)


METRIC = Metric(
    name="spectral_gap",
    title="Spectral gap",
    summary="How far the strongest direction of the attention pattern stands above the next.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="A wide gap drives tokens together (rank collapse in width); 0 is a pattern that permutes tokens.",
    healthy=(
        "No published band for trained models. Random attention over all keys reads about 1 - 2/sqrt(T); a causal "
        "mask and sinks change the baseline, so compare with a null of the same mask, not with that figure."
    ),
    formula="s_1 - s_2 of A = U diag(s) V^T, rows of real tokens only",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799",
    compute=spectral_gap,
    spectral=True,
)
