"""Second singular value of the attention pattern of a head."""

from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation


def sigma_2(observation: AttentionObservation) -> Tensor:
    """Second singular value of each pattern, dimensionless [batch, head]; 0 where there is no second one."""
    return observation.spectrum.values[..., 1:2].sum(-1)


METRIC = Metric(
    name="sigma_2",
    title="Second singular value",
    summary="What the attention pattern passes on beside its strongest direction.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="0 is a pattern of rank one: every row reads the same mixture.",
    healthy=(
        "No published band for trained models. Random attention over all keys with entries of relative variance 1 "
        "reads 2/sqrt(T); even causal attention reads more than 1/2 at any length, so compare under one mask only."
    ),
    formula="s_2 of A = U diag(s) V^T, rows of real tokens only",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799",
    compute=sigma_2,
    spectral=True,
)
