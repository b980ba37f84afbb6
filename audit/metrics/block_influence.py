"""How much a block turns the residual stream."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import mean_cosine, undefined
from audit.observations import ResidualObservation


def block_influence(observation: ResidualObservation) -> Tensor:
    """One minus the mean cosine between what enters and what leaves a block, dimensionless [batch].

    A block is counted once, at its first attention layer: NaN for a second one.
    """
    if not observation.opens_block:
        return undefined(observation.after, observation.after.shape[0])
    return 1.0 - mean_cosine(observation.entering, observation.leaving, observation.tokens)


METRIC = Metric(
    name="block_influence",
    title="Block influence",
    summary="How much a block turns the tokens that pass through it.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(0.0, 2.0),
    direction="0 is a block that leaves every token's direction as it was; 1 is a turn by a right angle.",
    healthy=(
        "No published band: ShortGPT ranks the blocks of one model and removes the lowest. A low value is a "
        "candidate; only taking the block out tells."
    ),
    formula="1 - mean over tokens t of cos(x_t, y_t), x entering and y leaving the block",
    reference="Men et al. 2024, ShortGPT, arXiv 2403.03853 (block influence)",
    compute=block_influence,
    absent_when="not the first attention layer of its block",
)
