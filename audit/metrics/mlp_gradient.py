"""How much the loss hangs on the matrices of the MLP of a layer."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics._gradients import NOT_SEEN, WHY, sensitivity
from audit.observations import GradientObservation


def mlp_gradient(observation: GradientObservation) -> Tensor:
    """Norm of the loss gradient by the matrices of the MLP times their own norm, nats [batch]."""
    return sensitivity(observation, "mlp")


METRIC = Metric(
    name="mlp_gradient",
    title="Gradient of the MLP",
    summary="How strongly the loss of a text reacts to a small relative change of the matrices of the MLP.",
    observes="gradient",
    axes="layer",
    unit="nats",
    span=(0.0, None),
    direction="0 is an MLP that the loss does not notice, and that training no longer moves.",
    healthy=f"No published band; compare the layers of one model. {WHY}",
    formula="||dL/dW||_F ||W||_F over all matrices W of the MLP together, L the loss of one text in nats per token",
    reference="none: a descriptive statistic of this project",
    compute=mlp_gradient,
    absent_when=NOT_SEEN,
    depths=("full",),
)
