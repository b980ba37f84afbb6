"""How sharp the weights of a head can make its scores."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import singular_values, undefined
from audit.observations import WeightObservation


def query_key_norm(observation: WeightObservation) -> Tensor:
    """Largest singular value of what gives a head's scores from two tokens, dimensionless [head].

    Heads that share keys are each paired with them. One NaN where no such product was found.
    """
    query, key = observation.query, observation.key
    if query is None or key is None:
        return undefined(torch.empty(0), 1)
    keys = key.double().repeat_interleave(query.shape[0] // key.shape[0], 0)
    triangles = [torch.linalg.qr(part.mT, mode="r").R for part in (query.double(), keys)]
    return singular_values(triangles[0] @ triangles[1].mT)[:, 0]


METRIC = Metric(
    name="query_key_norm",
    title="Spectral norm of queries and keys",
    summary="Largest score that two tokens of unit length can get from a head, by its weights alone.",
    observes="weights",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="Larger weights allow sharper attention; growth over training leads to entropy collapse.",
    healthy=(
        "No published band: Zhai et al. watch its growth in training. What comes of it depends on the tokens, so read it "
        "beside freezing, which is measured in the pass."
    ),
    formula="||c G W_Q^T W_K G||_2, c the scale of the scores (1/sqrt(d_h) in most families), G the gain of the norm that "
    "stands before within the block, biases and rotations left out",
    reference="Zhai et al. 2023, Stabilizing Transformer Training by Preventing Attention Entropy Collapse, "
    "arXiv 2303.06296 (spectral norm of W_K W_Q^T)",
    compute=query_key_norm,
    absent_when="queries or keys are no single product of the layer's input, or are normalised after it",
    depths=("full",),
)
