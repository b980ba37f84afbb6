"""How little the sinks of a head have to give."""

import math

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.observations import AttentionObservation


def sink_drain(observation: AttentionObservation) -> Tensor:
    """Norm of the values of a head's sinks over the median norm of its values, dimensionless [batch, head].

    Weighed by the mass that each sink receives; NaN in a sample in which the head has no sink.
    """
    value, heads = observation.value, observation.shape[1]
    if value is None or heads % value.shape[1] or value.shape[-2] != observation.shape[-1]:
        return observation.undefined
    norms = torch.linalg.vector_norm(value.double(), dim=-1)
    norms = torch.where(observation.keys[:, None], norms, math.nan)
    median = norms.nanmedian(-1, keepdim=True).values
    ratio = torch.where(median > 0, norms / median, math.nan).repeat_interleave(heads // value.shape[1], 1)
    weight = torch.where(observation.sinks, observation.received, 0.0)
    weighed = torch.where(observation.sinks, ratio * weight, 0.0)
    return torch.where(observation.finite, weighed.sum(-1) / weight.sum(-1), math.nan)


METRIC = Metric(
    name="sink_drain",
    title="Value of the sinks",
    summary="Norm of the values at a head's sinks against its median value.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="Near 0 is a drained sink: attention that rests there adds nothing. 1 is a token like any other.",
    healthy="No published band; drained sinks are ordinary in trained models (Guo et al. 2024).",
    formula="sum over sinks j of m_j ||v_j|| / median_k ||v_k|| / sum over sinks of m_j, m_j the mass j receives",
    reference="Guo et al. 2024, Active-Dormant Attention Heads, arXiv 2410.13835 (value-state drain)",
    compute=sink_drain,
    absent_when="the head has no sink, or values of single tokens were not seen in the pass",
)
