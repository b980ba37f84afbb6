"""How much the pattern of a head differs between texts, at the same place."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from audit.definitions import CorpusMetric
from audit.metrics._places import off_sinks, rows_of
from audit.observations import AttentionObservation

ROWS = (16, 24, 32, 48, 64, 96)  # enough keys to differ in, and spread over the usual 128 tokens
KEYS = 128  # a causal row of these sees no more
LEAST_MASS = 0.1  # what a row must keep off the sinks, as in the rule for collapsed entropy
LEAST_SHARE = 1e-6  # of a row's energy, for its departure from even attention to be more than rounding


def departures(observation: AttentionObservation) -> dict[str, Tensor]:
    """Sums over texts of how fixed rows, sinks taken away, depart from even attention.

    rows [batch, head, row, key] the departures; energy, even [batch, head, row] their squares and those of the rows
    themselves; count [batch, head, row] rows defined; text [batch, head] square of the sum over rows.
    """
    rows = rows_of(observation, ROWS)
    others = rows.seen & off_sinks(observation)[..., : rows.seen.shape[-1]]
    kept = torch.where(others, rows.mass.double(), 0.0)
    total, count = kept.sum(-1, keepdim=True), others.sum(-1, keepdim=True)
    defined = (total >= LEAST_MASS) & (count > 1)
    shares = torch.where(defined, kept / total, 0.0)
    away = torch.where(others & defined, shares - 1.0 / count, 0.0)
    away = torch.nn.functional.pad(away[..., :KEYS], (0, max(0, KEYS - away.shape[-1])))
    finite = rows.mass.isfinite().all(-1).all(-1)[..., None, None]
    return {
        "rows": torch.where(finite, away, math.nan),
        "energy": away.square().sum(-1),
        "even": shares.square().sum(-1),
        "count": defined[..., 0].double(),
        "text": away.sum(2).square().sum(-1),
    }


def input_divergence(sums: Mapping[str, Tensor]) -> Tensor:
    """Mean squared distance of one row between two texts over that of unrelated rows, fraction [head].

    A ratio of squares, not of entropies: those depend on how many texts are compared, this does not.
    """
    count, energy = sums["count"], sums["energy"]
    pairs = count * (count - 1)
    alike = torch.where(pairs > 0, (sums["rows"].square().sum(-1) - energy) / pairs, 0.0).sum(-1)
    size = torch.where(pairs > 0, energy / count, 0.0).sum(-1)
    own = torch.where(pairs > 0, sums["even"] / count, 0.0).sum(-1)
    return torch.where(size > LEAST_SHARE * own, 1.0 - alike / size, math.nan)


METRIC = CorpusMetric(
    name="input_divergence",
    title="Divergence between texts",
    summary="How much of a head's pattern beyond even attention changes with the text, sinks taken away.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 2.0),
    direction="0 is a pattern that position alone decides, 1 is one that has nothing in common between texts.",
    healthy=(
        "No published band. Positional heads of healthy models, such as those that read the previous token, "
        "come near 0."
    ),
    formula="mean over rows i, texts s != t of |d_si - d_ti|^2 / (2 mean |d_si|^2), d_si = row i off its sinks, "
    "renormalised, less 1/n_i; i = 16, 24, 32, 48, 64, 96; rows with less than 10% of mass off the sinks left out",
    reference="none: a statistic of this project, after the positional heads of Voita et al. 2019",
    partial=departures,
    reduce=input_divergence,
    absent_when="fewer than two texts of 17 tokens in which the head leaves a tenth of its attention off the sinks, "
    "or an exactly even pattern",
)
