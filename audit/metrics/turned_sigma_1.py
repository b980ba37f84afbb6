"""What the strength beyond even attention would be had the queries nothing to do with the keys: a null."""

import torch
from torch import Tensor

from audit.definitions import Metric
from audit.metrics.attention_entropy import LEAST_KEYS
from audit.metrics.centred_sigma_1 import TOO_LONG, is_too_long
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def turned_sigma_1(observation: AttentionObservation) -> Tensor:
    """centred_sigma_1 of each head with its queries turned by one random rotation, dimensionless [batch, head].

    The turned scores are brought to the spread of the head's own. Queries and keys keep their sizes and their likeness
    among themselves; only what they have learnt about each other is lost.
    """
    own = observation.score_deviation
    if own is None or observation.query is None or observation.key is None or is_too_long(observation):
        return observation.undefined
    rows = observation.visible_keys >= LEAST_KEYS
    scores = torch.where(observation.seen, _turned(observation.query, observation.key), 0.0)
    spread = _spread(scores, observation.seen)
    wanted, found = (masked_mean(each, rows, -1)[..., None, None] for each in (own, spread))
    scaled = torch.where(observation.seen, scores * (wanted / found), -torch.inf)
    pattern = torch.where(observation.seen, scaled.softmax(-1), 0.0)
    return observation.spectrum_beyond_even(pattern.to(observation.pattern)).values[..., 0]


def _turned(query: Tensor, key: Tensor) -> Tensor:
    """Products of turned queries and keys, float64 [batch, head, query, key]; the same rotations for every sample."""
    heads, width = query.shape[1], query.shape[-1]
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(heads, width, width, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(random)[0].to(query.device)
    keys = key.double().repeat_interleave(heads // key.shape[1], 1)
    products: Tensor = query.double() @ turn @ keys.mT
    return products


def _spread(scores: Tensor, seen: Tensor) -> Tensor:
    """Standard deviation of each row over the keys it may see."""
    count = seen.sum(-1).clamp_min(1)
    centred = torch.where(seen, scores - (scores.sum(-1) / count)[..., None], 0.0)
    return (centred.square().sum(-1) / count).sqrt()


METRIC = Metric(
    name="turned_sigma_1",
    title="Beyond even attention: with its queries turned",
    summary="What the first singular value beyond even attention would be if the queries knew nothing of the keys.",
    observes="attention",
    axes="head",
    unit="1",
    span=(0.0, None),
    direction="Only to be compared: a head that reads more than this has learnt which token to attend to.",
    healthy="No band: a null, made of the head's own queries, keys and spread of scores.",
    formula="s_1 of softmax(c Q R K^T) - U, R a random rotation for each head, c such that the mean spread of the scores "
    "is the head's own",
    reference="none: this project's, after the random key-query matrices of Nait Saada, Naderi and Tanner, ICML 2025",
    compute=turned_sigma_1,
    spectral=True,
    absent_when=f"queries, keys or scores were not seen, no row sees 8 keys, or {TOO_LONG}",
    depths=("full",),
)
