"""How nearly a head does what another head of its layer does."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from audit.definitions import CorpusMetric
from audit.metrics._places import outputs_of, rows_of
from audit.observations import AttentionObservation

ROWS = tuple(range(1, 128, 4))  # 32 rows of a sample of 128 tokens
LEAST_ROWS = 4  # the unbiased estimator of dependence divides by n - 3


def overlaps(observation: AttentionObservation) -> dict[str, Tensor]:
    """How the heads of a layer overlap in each sample, [batch, head, head] in outputs and in patterns."""
    rows = rows_of(observation, ROWS)
    even = rows.seen / rows.seen.sum(-1, keepdim=True).clamp_min(1)
    away = (rows.mass - even).flatten(2).double()  # both are 0 where a row does not see the key
    patterns = away @ away.mT
    found = outputs_of(observation, ROWS)
    if found is None:
        return {"outputs": torch.zeros_like(patterns), "patterns": patterns}
    kernels = centred_kernels(*found)
    return {"outputs": kernels @ kernels.mT, "patterns": patterns}


def centred_kernels(outputs: Tensor, there: Tensor) -> Tensor:
    """Kernels of head outputs whose inner products are unbiased Hilbert-Schmidt dependences, [batch, head, row x row].

    Their sum over samples estimates without bias what one large sample would show (Nguyen et al. 2021), so that neither
    the number of rows nor the width of a head makes heads look alike. 0 for a sample of fewer than four rows.

    Args:
        outputs: float64 [batch, head, row, value_dim]; 0 in rows that are not there.
        there: bool [batch, row].
    """
    off_diagonal = ~torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
    both = (there[:, :, None] & there[:, None, :] & off_diagonal)[:, None]
    kernel = torch.where(both, outputs @ outputs.mT, 0.0)
    count = there.sum(-1).double()[:, None, None, None].clamp_min(LEAST_ROWS)
    mean = kernel.sum(-1, keepdim=True) / (count - 2)
    whole = kernel.sum((-2, -1), keepdim=True) / ((count - 1) * (count - 2))
    enough = both & (there.sum(-1) >= LEAST_ROWS)[:, None, None, None]
    centred = torch.where(enough, kernel - mean - mean.mT + whole, 0.0)
    return (centred / (count * (count - 3)).sqrt()).flatten(2)


def normalised(overlap: Tensor) -> Tensor:
    """An overlap [head, head] divided by those of the heads with themselves; NaN for a head without any."""
    own = overlap.diagonal().clamp_min(0.0)
    size = (own[:, None] * own[None, :]).sqrt()
    return torch.where(size > 0, overlap / size, math.nan)


def likenesses(sums: Mapping[str, Tensor]) -> Tensor:
    """The smaller of the two likenesses of each pair, [head, head]; NaN on the diagonal."""
    both = torch.minimum(normalised(sums["outputs"]), normalised(sums["patterns"]))
    return both.fill_diagonal_(math.nan)


def twin_similarity(sums: Mapping[str, Tensor]) -> Tensor:
    """Likeness of a head with its nearest in the layer, in outputs AND in patterns, dimensionless [head]."""
    pairs = likenesses(sums)
    nearest = pairs.nan_to_num(-math.inf).amax(-1)
    return torch.where(nearest.isfinite(), nearest.clamp(-1.0, 1.0), math.nan)


METRIC = CorpusMetric(
    name="twin_similarity",
    title="Similarity to a twin",
    summary="How nearly a head attends and writes as another head of its layer does.",
    observes="attention",
    axes="head",
    unit="1",
    span=(-1.0, 1.0),
    direction="1 is a head of which the layer has a copy, 0 is one of its own kind.",
    healthy=(
        "No published band; compare with the model's other heads. Heads that share keys and values (grouped queries) "
        "write alike as soon as they attend alike: the pattern alone decides there."
    ),
    formula="max over other heads k of min(CKA(o_h, o_k), <P_h - U, P_k - U> / (|P_h - U| |P_k - U|)), o head outputs, "
    "P patterns, U even attention; 32 rows per sample, sums over samples",
    reference="Kornblith et al. 2019, arXiv 1905.00414 (CKA); Nguyen et al. 2021, arXiv 2010.15327 (unbiased, summed "
    "over batches)",
    partial=overlaps,
    reduce=twin_similarity,
    absent_when="one head per layer, samples of fewer than 14 tokens, or head outputs that were not seen",
)
