"""Largest singular value of what a pattern has beyond even attention."""

from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation

LONGEST = 256  # tokens of a sample: the cost of a spectrum grows with their cube
TOO_LONG = f"no sample of at most {LONGEST} tokens"


def is_too_long(observation: AttentionObservation) -> bool:
    """Whether spectra beyond the usual ones would cost too much."""
    return max(observation.shape[-2:]) > LONGEST


def centred_sigma_1(observation: AttentionObservation) -> Tensor:
    """Largest singular value of each pattern less the even pattern of its mask, dimensionless [batch, head]."""
    if is_too_long(observation):
        return observation.undefined
    return observation.centred_spectrum.values[..., 0]


METRIC = Metric(
    name="centred_sigma_1",
    title="Beyond even attention: first singular value",
    summary="Strength of what a head's attention does other than averaging over everything it may see.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="0 is even attention; a pure sink approaches sqrt(T). Read it beside the same head with its queries turned.",
    healthy=(
        "No published band. Compare with turned_sigma_1, the same head with its queries turned at random: a head that "
        "learnt something reads clearly more."
    ),
    formula="s_1 of A - U, U_ij = 1/n_i on the n_i keys that row i may see",
    reference="Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799 (the outlier taken out); U of the "
    "same mask is this project's",
    compute=centred_sigma_1,
    spectral=True,
    absent_when=TOO_LONG,
    depths=("full",),
)
