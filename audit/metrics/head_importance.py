"""How much the loss hangs on a head, by its gradient."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import undefined
from audit.observations import GradientObservation


def head_importance(observation: GradientObservation) -> Tensor:
    """Slope of the loss against a mask on each head, of unit length over the layer, fraction [batch, head]."""
    output, gradient = observation.head_output, observation.head_gradient
    if output is None or gradient is None:
        return undefined(
            observation.tokens, len(observation.tokens), 1 if output is None else output.shape[1]
        )
    slopes = (output.double() * gradient.double()).sum(-1)
    rows = (
        observation.tokens[:, None]
        if slopes.shape[-1] == observation.tokens.shape[-1]
        else torch.tensor(True)
    )
    slope = torch.where(rows, slopes, 0.0).sum(-1).abs()
    norm: Tensor = torch.linalg.vector_norm(slope, dim=-1, keepdim=True)
    return slope / norm


METRIC = Metric(
    name="head_importance",
    title="Head importance",
    summary="First-order estimate of what taking the head away would do to the loss, beside the layer's other heads.",
    observes="gradient",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is the only head of its layer that counts, 0 one that may be turned down without any effect.",
    healthy=(
        "No published band: Michel et al. prune by rank within a model. A slope misses what only a large step shows, "
        "such as a sink whose removal breaks a layer: ablation has the last word."
    ),
    formula="I_h / sqrt(sum_k I_k^2) over the heads of the layer, I_h = |sum over tokens of o . dL/do|, o the output of "
    "the head; normalised in each text, then averaged",
    reference="Michel, Levy and Neubig 2019, Are Sixteen Heads Really Better than One?, arXiv 1905.10650 (they average "
    "first and normalise then)",
    compute=head_importance,
    absent_when="the checkpoint has no loss, or head outputs were not seen",
    depths=("full",),
)
