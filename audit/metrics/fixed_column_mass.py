"""How much attention a head gives to one place that is no sink, whatever the text."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from audit.definitions import CorpusMetric
from audit.metrics._places import off_sinks
from audit.observations import SINK_ROWS, AttentionObservation

KEYS = 256  # places counted from the first token
LEAST_SHARE = 0.5  # of the texts must have a place for it to be one 'whatever the text'


def columns(observation: AttentionObservation) -> dict[str, Tensor]:
    """What each key that is no sink receives, and in how many texts it can, [batch, head, key]."""
    first = observation.keys.int().argmax(-1, keepdim=True)
    order = torch.arange(observation.keys.shape[1], device=first.device) + first
    index = order.clamp_max(observation.keys.shape[1] - 1)[:, None].expand(-1, observation.shape[1], -1)
    witnessed = (observation.mask.per_key >= SINK_ROWS).expand_as(observation.received).gather(2, index)
    counted = witnessed & (order < observation.keys.shape[1])[:, None]
    received = observation.received.gather(2, index)
    found = torch.where(counted & off_sinks(observation)[:, :, 0], received, 0.0)
    return {"received": _cut(found), "texts": _cut(counted.double())}


def fixed_column_mass(sums: Mapping[str, Tensor]) -> Tensor:
    """Mean mass on the place that receives most over all texts, fraction [head]."""
    texts = sums["texts"]
    held = (texts > 0) & (texts >= LEAST_SHARE * texts.amax(-1, keepdim=True))
    means = torch.where(held, sums["received"] / texts, -math.inf)
    return torch.where(held.any(-1), means.amax(-1), math.nan)


def _cut(columns: Tensor) -> Tensor:
    """The first `KEYS` columns."""
    return torch.nn.functional.pad(columns[..., :KEYS], (0, max(0, KEYS - columns.shape[-1])))


METRIC = CorpusMetric(
    name="fixed_column_mass",
    title="Mass on one fixed place",
    summary="Most attention that one place receives in all texts alike, sinks left out.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is a head that looks at one and the same place in every text, and it is no sink.",
    healthy="No published band; healthy heads that rest on one place rest on a sink, which is not counted here.",
    formula="max over keys j of mean over texts of (mean over rows i that may see j of A_ij if j is no sink of that "
    "text, else 0); places counted from the first token, the first 256 of them, with 8 rows that see them",
    reference="Sanyal et al., Inheritune, arXiv 2404.08634 (single-column patterns); leaving sinks out is this project's",
    partial=columns,
    reduce=fixed_column_mass,
    absent_when="no sample with 8 rows",
)
