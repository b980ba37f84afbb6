"""Share of what a block adds to the residual stream that its MLP adds."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics.attention_share import update_share
from audit.observations import ResidualObservation


def mlp_share(observation: ResidualObservation) -> Tensor:
    """Share of the MLP in the norms of what attention and MLP add, fraction [batch]."""
    return update_share(observation.mlp_update, observation.attention_update, observation.tokens)


METRIC = Metric(
    name="mlp_share",
    title="MLP share",
    summary="How much of what a block adds to the residual stream comes from its MLP.",
    observes="residual",
    axes="layer",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is a block whose attention adds nothing, 0 is one whose MLP adds nothing.",
    healthy="No published band. It is 1 - attention_share.",
    formula="mean over tokens of ||m|| / (||a|| + ||m||), a and m what attention and MLP add",
    reference="none: a descriptive statistic of this project",
    compute=mlp_share,
    absent_when="the block has no MLP of its own, or one of the two updates was not seen",
)
