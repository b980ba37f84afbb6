"""Size of what a head writes, relative to the heads beside it."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean, some
from audit.observations import AttentionObservation


def head_output_norm(observation: AttentionObservation) -> Tensor:
    """Mean norm of a head's output over the mean of its layer's heads, dimensionless [batch, head].

    A layer whose heads all give zero is 0/0: every head of it reads 0, because the numerator is what is meant.
    """
    if observation.head_output is None:
        return observation.undefined
    outputs = observation.head_output
    norms = torch.cat(
        [
            torch.linalg.vector_norm(outputs[at].double(), dim=-1)
            for at in some(len(outputs), outputs[0].numel())
        ]
    )
    heads = masked_mean(norms, observation.queries[:, None], -1)
    layer = heads.mean(-1, keepdim=True)
    return torch.where(layer == 0, 0.0, heads / layer)


METRIC = Metric(
    name="head_output_norm",
    title="Head output norm",
    summary="Norm of what a head puts out before the output projection, against the mean head of its layer.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="1 is as much as the mean head of the layer, 0 is a head that puts out nothing.",
    healthy=(
        "No published band; Sandoval-Segura et al. switch off the lowest heads at a threshold near .44 to .47, about "
        "the lowest 15% of heads. Low on one kind of text only is a dormant head, not a useless one."
    ),
    formula="h_h / mean over the layer's heads of h, h_h = mean over tokens i of ||o_i||_2, o = A V before W_O; "
    "0 where the whole layer is 0",
    reference="Sandoval-Segura et al., arXiv 2504.03889 (average head output norm, layer-normalised)",
    compute=head_output_norm,
    absent_when="the outputs of single heads were not seen in the pass",
)
