"""How much the pattern of a head differs between texts when their rows are shuffled."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from audit.definitions import CorpusMetric
from audit.metrics.input_divergence import LEAST_SHARE, departures


def shuffled_divergence(sums: Mapping[str, Tensor]) -> Tensor:
    """As input_divergence, between different rows of different texts, fraction [head]: its null.

    What all pairs of rows have in common, less what rows of one text and equal rows of two texts have.
    """
    count, energy = sums["count"], sums["energy"]
    everywhere = sums["rows"].sum(-2).square().sum(-1)
    matched = (sums["rows"].square().sum(-1) - energy).sum(-1)
    alike = everywhere - sums["text"] - matched
    texts = count.amax(-1)
    pairs = count.sum(-1).square() - count.square().sum(-1) * 1.0
    pairs = pairs * (texts - 1) / texts.clamp_min(1)
    size = energy.sum(-1) / count.sum(-1)
    enough = (pairs > 0) & (size > LEAST_SHARE * sums["even"].sum(-1) / count.sum(-1))
    return torch.where(enough, 1.0 - alike / pairs / size, math.nan)


METRIC = CorpusMetric(
    name="shuffled_divergence",
    title="Divergence between shuffled texts",
    summary="The divergence between texts with other rows put in the place of each: what input_divergence is "
    "judged against.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, None),
    direction="1 is rows that have nothing in common; near 0 every row of every text attends alike.",
    healthy="No published band: it is the null of input_divergence for the same head.",
    formula="as input_divergence, over rows i != k of texts s != t",
    reference="none: a statistic of this project",
    partial=departures,
    reduce=shuffled_divergence,
    absent_when="as input_divergence, or fewer than two rows per text",
)
