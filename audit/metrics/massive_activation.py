"""How far the largest entry of the residual stream stands above the ordinary one."""

import math

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import ResidualObservation


def massive_activation(observation: ResidualObservation) -> Tensor:
    """Largest over median magnitude of the tokens leaving the block, dimensionless [batch].

    NaN where the median is 0: there is no ordinary size then to compare with.
    """
    size = observation.after.abs()  # medians compare and do not compute: any precision will do
    spoilt = (size.isnan() & observation.tokens[..., None]).flatten(1).any(1)
    size = torch.where(observation.tokens[..., None], size, math.nan).flatten(1)
    largest = size.nan_to_num(nan=0.0, posinf=math.inf).amax(1).double()
    # the lower and the upper median differ where the count is even
    median = (size.nanmedian(1).values.double() - (-size).nanmedian(1).values.double()) / 2
    return torch.where(spoilt | (median == 0), math.nan, largest / median)


METRIC = Metric(
    name="massive_activation",
    title="Massive activation",
    summary="Largest entry of the residual stream against the median entry.",
    observes="residual",
    axes="layer",
    unit="1",
    span=(1.0, None),
    direction="Larger values mean that single entries tower above the rest.",
    healthy=(
        "Sun et al. call an entry massive above 100 in size and about 1,000 times the median of its hidden state. "
        "Healthy large models have them: they act as fixed biases, so this is no fault by itself."
    ),
    formula="max |y_tc| / median |y_tc| over real tokens t and channels c",
    reference="Sun et al. 2024, Massive Activations in Large Language Models, arXiv 2402.17762",
    compute=massive_activation,
    absent_when="more than half of the entries are exactly zero",
)
