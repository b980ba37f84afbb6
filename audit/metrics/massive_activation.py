"""How far the largest entry of the residual stream stands above the ordinary one."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.definitions import Metric
from audit.observations import ResidualObservation


def massive_activation(observation: ResidualObservation) -> Tensor:
    """Largest over median magnitude of the tokens leaving the block, dimensionless [batch].

    NaN where the median is 0: there is no ordinary size then to compare with.
    """
    sizes = observation.after.abs().float().cpu().numpy()  # exact: nothing is computed, only compared
    tokens = observation.tokens.cpu().numpy()
    every = bool(tokens.all())
    found = [
        _ratio((size if every else size[real]).reshape(-1)) for size, real in zip(sizes, tokens, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64, device=observation.after.device)


def _ratio(size: NDArray[np.float32]) -> float:
    """Of magnitudes, which change places."""
    if not size.size:
        return math.nan
    half = size.size // 2
    size.view(np.int32).partition(half)  # where none is negative their bits have the same order: faster
    if np.isnan(largest := size[half:].max()):  # NaN stands behind all numbers
        return math.nan
    lower = size[half] if size.size % 2 else size[:half].max()  # they differ where the count is even
    median = (float(size[half]) + float(lower)) / 2
    return float(largest) / median if median else math.nan


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
