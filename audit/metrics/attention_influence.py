"""How much the attention of a block turns the residual stream."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import mean_cosine, undefined
from audit.observations import ResidualObservation


def attention_influence(observation: ResidualObservation) -> Tensor:
    """One minus the mean cosine between tokens before and after the attention update, dimensionless [batch]."""
    if observation.attention_update is None:
        return undefined(observation.before, observation.before.shape[0])
    before = observation.entering
    return 1.0 - mean_cosine(before, before + observation.attention_update, observation.tokens)


METRIC = Metric(
    name="attention_influence",
    title="Attention influence",
    summary="How much an attention layer turns the tokens it writes to.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(0.0, 2.0),
    direction="0 is attention that leaves every token's direction as it was; 1 is a turn by a right angle.",
    healthy=(
        "No published band: He et al. rank the attention layers of one model and drop the lowest. A low value is a "
        "candidate; only taking the attention out tells."
    ),
    formula="1 - mean over tokens t of cos(x_t, x_t + a_t), a what the attention adds",
    reference="He et al. 2024, What Matters in Transformers? Not All Attention Is Needed, arXiv 2406.15786",
    compute=attention_influence,
    absent_when="what the attention adds was not seen",
)
