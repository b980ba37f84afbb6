"""Rank of the best head of a layer by the protocol of the paper on lazy layers."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from audit.definitions import CorpusMetric
from audit.metrics.attention_rank import rank_of
from audit.metrics.mass_columns import columns_holding_most
from audit.numerics import singular_values
from audit.observations import AttentionObservation

TOKENS = 100
WINDOWS = (100, TOKENS)  # sequences of the validation set, and their tokens


def ranks(observation: AttentionObservation) -> dict[str, Tensor]:
    """Rank and number of columns of each head on the first 100 tokens, and whether there are that many, [batch, head].

    A row of a causal model does not see what follows: its first 100 tokens attend as in a text of 100. Other models
    must be fed 100 tokens.
    """
    longer = not observation.causal
    first = observation.keys.int().argmax(-1)
    length = observation.keys.sum(-1)
    fits = (length == TOKENS) if longer else (length >= TOKENS)
    heads = observation.shape[1]
    found = {name: observation.mass.new_zeros(len(fits), heads) for name in ("rank", "columns", "texts")}
    for sample in fits.nonzero().flatten().tolist():
        window = slice(int(first[sample]), int(first[sample]) + TOKENS)
        pattern = observation.mass[sample, :, window, window]
        found["rank"][sample] = rank_of(singular_values(pattern))
        found["columns"][sample] = columns_holding_most(pattern)
        found["texts"][sample] = 1.0
    return found


def mean_of(sums: Mapping[str, Tensor], name: str) -> Tensor:
    """Mean over texts, [head]; NaN where no text was long enough."""
    return torch.where(sums["texts"] > 0, sums[name] / sums["texts"], math.nan)


METRIC = CorpusMetric(
    name="max_rank_100",
    title="MaxRank (T = 100)",
    summary="Attention rank of the best head of a layer on 100 tokens, to be put beside the published figures.",
    observes="attention",
    axes="layer",
    unit="rank",
    span=(1.0, None),
    direction="About 1 is a lazy layer: even its best head is of rank one.",
    healthy=(
        "No published band. Sanyal et al., GPT-2 medium of theirs: 2 to 34 in the first eleven layers, 1.0 to 2.8 from "
        "the twelfth on."
    ),
    formula="max over heads of mean over texts of min k such that sum_{i<=k} s_i^2 >= .9 sum_i s_i^2, T = 100",
    reference="Sanyal et al., Inheritune, arXiv 2404.08634 (MaxRank)",
    partial=ranks,
    reduce=lambda sums: mean_of(sums, "rank").amax(),
    absent_when="no text of 100 tokens",
    windows=WINDOWS,
    depths=("full",),
)
