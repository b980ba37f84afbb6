"""Size of the weights through which a head writes."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import undefined
from audit.observations import WeightObservation


def output_weight_norm(observation: WeightObservation) -> Tensor:
    """Frobenius norm of each head's slice of the output projection, dimensionless [head].

    One NaN where no such matrix was seen: the number of heads is not known here either.
    """
    if observation.output is None:
        return undefined(torch.empty(0), 1)
    norms: Tensor = torch.linalg.vector_norm(observation.output.double(), dim=(-2, -1))
    return norms


METRIC = Metric(
    name="output_weight_norm",
    title="Output weight norm",
    summary="Norm of the part of the output projection that carries a head into the residual stream.",
    observes="weights",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="0 is a head that cannot write, whatever it attends to.",
    healthy=(
        "No published band; only an exact 0 is a fault. Norms in front of or behind the projection undo its scale, "
        "so sizes are not comparable between models or layers."
    ),
    formula="||W_O[h]||_F, the rows of W_O that read head h",
    reference="none: a descriptive statistic of this project",
    compute=output_weight_norm,
    absent_when="no output projection split by heads was found",
)
