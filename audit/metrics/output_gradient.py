"""How much the loss hangs on the matrix through which the heads write of a layer."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics._gradients import NOT_SEEN, WHY, sensitivity
from audit.observations import GradientObservation


def output_gradient(observation: GradientObservation) -> Tensor:
    """Norm of the loss gradient by the matrix through which the heads write times their own norm, nats [batch]."""
    return sensitivity(observation, "output")


METRIC = Metric(
    name="output_gradient",
    title="Gradient of the output projection",
    summary="How strongly the loss of a text reacts to a small relative change of the matrix through which the heads write.",
    observes="gradient",
    axes="layer",
    unit="nats",
    span=(0.0, None),
    direction="0 is a matrix that the loss does not notice, and that training no longer moves.",
    healthy=f"No published band; compare the layers of one model. {WHY}",
    formula="||dL/dW_O||_F ||W_O||_F, L the loss of one text in nats per token, mean over texts",
    reference="none: a descriptive statistic of this project",
    compute=output_gradient,
    absent_when=NOT_SEEN,
    depths=("full",),
)
