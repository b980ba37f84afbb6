"""How much of a head's attention reaches far back."""

from torch import Tensor

from audit.definitions import Metric
from audit.gathering import FAR
from audit.metrics.attention_entropy_without_sinks import LEAST_MASS
from audit.numerics import masked_mean
from audit.observations import AttentionObservation

_ENOUGH = 2 * FAR  # keys: rows that see fewer have hardly any far ones


def far_mass(observation: AttentionObservation) -> Tensor:
    """Mean share of a row's attention beyond sinks that goes more than 32 tokens away, fraction [batch, head].

    Over rows that see at least 64 keys and keep 1% off the sinks; NaN where there are none, and for cross-attention. A
    sink is far from most rows and tells them nothing: it is left out, and the rest counted as the whole.
    """
    if not observation.same_tokens:
        return observation.undefined
    kept = observation.kept
    rows = (observation.visible_keys >= _ENOUGH) & ~(kept.total < LEAST_MASS)
    return masked_mean(kept.far / kept.total, rows, -1)


METRIC = Metric(
    name="far_mass",
    title="Far attention",
    summary="Share of a head's attention, sinks left out, that goes more than 32 tokens away.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="Larger values mean reaching farther; 0 is a head that looks at its neighbours only.",
    healthy="No published band. Even attention over n keys before a token reads 1 - 33/n.",
    formula="mean over rows i with 64 keys and more of sum_{|i - j| > 32} p_ij, p_ij = A_ij over keys that are no sink, "
    "renormalised",
    reference="this project's; cf. Vig and Belinkov 2019 (attention distance)",
    compute=far_mass,
    absent_when="no row sees 64 keys, or cross-attention",
    depths=("full",),
)
