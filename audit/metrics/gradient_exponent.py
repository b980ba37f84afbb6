"""How a block grows or shrinks the gradient on its way back."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics._gradients import squared_norm
from audit.numerics import undefined
from audit.observations import GradientObservation


def gradient_exponent(observation: GradientObservation) -> Tensor:
    """Log of the squared gradient entering over that leaving the block, dimensionless [batch]."""
    if not observation.opens_block:
        return undefined(observation.tokens, observation.tokens.shape[0])
    entering, leaving = (
        squared_norm(gradient, observation.tokens)
        for gradient in (observation.entering_gradient, observation.hidden_gradient)
    )
    both = (entering > 0) & (leaving > 0)
    return (entering / leaving).log().where(both, undefined(entering, 1))


METRIC = Metric(
    name="gradient_exponent",
    title="Gradient exponent",
    summary="Growth of the squared loss gradient through a block on its way back, in powers of e.",
    observes="gradient",
    axes="layer",
    unit="1",
    span=(None, None),
    direction="0 carries gradients back unchanged; their sum over the blocks is the growth over the whole depth.",
    healthy=(
        "No published band for trained models: at initialisation 0 is best. Never judged by itself, for a stream that "
        "grows with depth makes it positive in healthy models: SmolLM2-135M's add up to 6, a 400-fold growth of the square."
    ),
    formula="ln(||dL/dx||_F^2 / ||dL/dy||_F^2), x entering and y leaving the block",
    reference="Cowsik et al. 2024, Geometric Dynamics of Signal Propagation, arXiv 2403.02579 (lambda_g; theirs is of a "
    "random functional at initialisation, over all blocks together)",
    compute=gradient_exponent,
    absent_when="the checkpoint has no loss, or it is the first block of its stack",
    depths=("full",),
)
