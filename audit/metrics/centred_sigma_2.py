"""Second singular value of what a pattern has beyond even attention."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics.centred_sigma_1 import TOO_LONG, is_too_long
from audit.observations import AttentionObservation


def centred_sigma_2(observation: AttentionObservation) -> Tensor:
    """Second singular value of each pattern less the even pattern of its mask, dimensionless [batch, head]."""
    if is_too_long(observation):
        return observation.undefined
    return observation.centred_spectrum.values[..., 1:2].sum(-1)


METRIC = Metric(
    name="centred_sigma_2",
    title="Beyond even attention: second singular value",
    summary="What a head's attention does beside averaging and beside its strongest other direction.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="Far below the first: one further direction, such as a sink, is all there is. Near it: many.",
    healthy=(
        "No published band. With the even part taken out, random attention has no gap: both values stand close together."
    ),
    formula="s_2 of A - U, U_ij = 1/n_i on the n_i keys that row i may see",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799 (the outlier taken out); U of the "
    "same mask is this project's",
    compute=centred_sigma_2,
    spectral=True,
    absent_when=TOO_LONG,
    depths=("full",),
)
