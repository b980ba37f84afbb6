"""How much of what a head puts out comes from other tokens."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean, some
from audit.observations import AttentionObservation


def mixing_ratio(observation: AttentionObservation) -> Tensor:
    """Mean over tokens of ||others|| / (||others|| + ||own||), fraction [batch, head]; NaN for cross-attention.

    The first token, which in a causal model sees itself alone, counts as all others do.
    """
    value, output = observation.value, observation.head_output
    if value is None or output is None or not observation.same_tokens:
        return observation.undefined
    heads = observation.shape[1]
    if heads % value.shape[1] or value.shape[-2:] != output.shape[-2:]:
        return observation.undefined
    weight, times = observation.sums.own[..., None], heads // value.shape[1]
    found = [_mixed(weight[at], value[at], output[at], times) for at in some(len(output), output[0].numel())]
    others, total = (torch.cat(each) for each in zip(*found, strict=True))
    return masked_mean(others / total, observation.queries[:, None] & (total != 0), -1)


def _mixed(weight: Tensor, value: Tensor, output: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """What comes from others, and that with what is own, float64 [batch, head, query]."""
    own = value.double().repeat_interleave(times, 1).mul_(weight)
    size = torch.linalg.vector_norm(own, dim=-1)
    others = torch.linalg.vector_norm(own.sub_(output), dim=-1)
    return others, others + size


METRIC = Metric(
    name="mixing_ratio",
    title="Mixing ratio",
    summary="Share of a head's output that other tokens than the token itself contribute.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="0 is a head that reads each token by itself, as an MLP does; 1 is one that reads only others.",
    healthy=(
        "No published band for this form: Kobayashi et al. report about .19 for BERT-base with skip and normalisation "
        "counted in, which this is without."
    ),
    formula="mean over tokens i of ||sum_{j!=i} A_ij v_j|| / (||sum_{j!=i} A_ij v_j|| + ||A_ii v_i||), before W_O",
    reference="Kobayashi et al. 2021, Incorporating Residual and Normalization Layers (mixing ratio)",
    compute=mixing_ratio,
    absent_when="cross-attention, or values of single tokens that were not seen in the pass",
)
