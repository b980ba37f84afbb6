"""How much the loss hangs on the matrix that makes the queries of a layer."""

from torch import Tensor

from audit.definitions import Metric
from audit.metrics._gradients import NOT_SEEN, WHY, sensitivity
from audit.observations import GradientObservation


def query_gradient(observation: GradientObservation) -> Tensor:
    """Norm of the loss gradient by the matrix that makes the queries times their own norm, nats [batch]."""
    return sensitivity(observation, "query")


METRIC = Metric(
    name="query_gradient",
    title="Gradient of the queries",
    summary="How strongly the loss of a text reacts to a small relative change of the matrix that makes the queries.",
    observes="gradient",
    axes="layer",
    unit="nats",
    span=(0.0, None),
    direction="0 is a matrix that the loss does not notice: under rank collapse this and the keys' go to 0 while the values' stays.",
    healthy=f"No published band; compare the layers of one model. {WHY}",
    formula="||dL/dW_Q||_F ||W_Q||_F, L the loss of one text in nats per token, mean over texts",
    reference="Noci et al. 2022, arXiv 2206.03126 (gradients by queries and keys vanish under rank collapse); the product is this project's",
    compute=query_gradient,
    absent_when=NOT_SEEN,
    depths=("full",),
)
