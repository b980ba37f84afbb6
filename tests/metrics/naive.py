"""Every metric once more in numpy, one head and one row at a time, straight from its formula."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.observations import AttentionObservation, ResidualObservation, WeightObservation

Array = NDArray[np.float64]
NAN = float("nan")


class Head(NamedTuple):
    """One head on one sample, cut down to its real tokens."""

    pattern: Array  # [query, key]
    seen: NDArray[np.bool_]  # [query, key]
    sinks: list[int]
    outputs: Array  # [query, value_dim]


class Stream(NamedTuple):
    """The residual stream of one sample, cut down to its real tokens: [token, width] each."""

    before: Array
    after: Array
    attention: Array
    mlp: Array
    sinks: list[int]


def attention(name: str, observation: AttentionObservation) -> Array:
    """The metric `name`, [batch, head]."""
    return np.array([[HEADS[name](head) for head in heads] for heads in _heads(observation)])


def head_output_norm(observation: AttentionObservation) -> Array:
    """The one metric of a head that looks at the heads beside it, [batch, head]."""
    norms = [[_mean([_norm(o) for o in head.outputs]) for head in heads] for heads in _heads(observation)]
    return np.array([[norm / _mean(row) for norm in row] for row in norms])


def residual(name: str, observation: ResidualObservation) -> Array:
    """The metric `name`, [batch]."""
    return np.array([STREAMS[name](stream) for stream in _streams(observation)])


def weights(observation: WeightObservation) -> Array:
    """The norm of each head's slice of W_O, [head]."""
    assert observation.output is not None
    return np.array([_norm(part.double().numpy().ravel()) for part in observation.output])


def sinks(patterns: list[Array], seen: NDArray[np.bool_], special: NDArray[np.bool_]) -> list[list[int]]:
    """The sinks of each head of a layer on one sample of real tokens."""
    rows, keys = seen.shape
    strong = []
    for pattern in patterns:
        received = [_mean([pattern[i, j] for i in range(rows) if seen[i, j]]) for j in range(keys)]
        witnesses = [sum(bool(seen[i, j]) for i in range(rows)) for j in range(keys)]
        strong.append([j for j in range(keys) if received[j] > 0.3 and witnesses[j] >= min(8, rows)])
    votes = [sum(j in found for found in strong) for j in range(keys)]
    return [
        [j for j in found if j == 0 or special[j] or (votes[j] >= 2 and votes[j] > len(patterns) / 4)]
        for found in strong
    ]


def _heads(observation: AttentionObservation) -> list[list[Head]]:
    result = []
    for b in range(observation.pattern.shape[0]):
        queries = np.flatnonzero(observation.queries[b].numpy())
        keys = np.flatnonzero(observation.keys[b].numpy())
        patterns = [p.double().numpy()[np.ix_(queries, keys)] for p in observation.pattern[b]]
        seen = observation.visible[b, 0].numpy()[np.ix_(queries, keys)]
        found = sinks(patterns, seen, observation.special[b].numpy()[keys])
        assert observation.head_output is not None
        outputs = [o.double().numpy()[queries] for o in observation.head_output[b]]
        result.append([Head(p, seen, s, o) for p, s, o in zip(patterns, found, outputs, strict=True)])
    return result


def _streams(observation: ResidualObservation) -> list[Stream]:
    result = []
    for b in range(observation.after.shape[0]):
        tokens = np.flatnonzero(observation.tokens[b].numpy())
        parts = (
            observation.before,
            observation.after,
            observation.attention_update,
            observation.mlp_update,
        )
        cut = [part[b].double().numpy()[tokens] for part in parts if part is not None]
        found = np.flatnonzero(observation.sinks[b].numpy()[tokens]).tolist()
        result.append(Stream(cut[0], cut[1], cut[2], cut[3], found))
    return result


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else NAN


def _norm(vector: Array) -> float:
    return float(np.sqrt(np.dot(vector, vector)))


def _cosine(one: Array, two: Array) -> float:
    return float(np.dot(one, two)) / (_norm(one) * _norm(two))


def _entropy(shares: list[float]) -> float:
    return -sum(p * float(np.log(p)) for p in shares if p > 0)


def _entropy_over(head: Head, left_out: list[int]) -> float:
    values = []
    for row, seen in zip(head.pattern, head.seen, strict=True):
        keys = [j for j in np.flatnonzero(seen) if j not in left_out]
        total = sum(row[j] for j in keys)
        if len(keys) >= 8 and total >= (0.01 if left_out else 0.0):
            values.append(_entropy([row[j] / total for j in keys]) / float(np.log(len(keys))))
    return _mean(values)


def _effective_keys(head: Head) -> float:
    return _mean([1 / sum(float(p / row.sum()) ** 2 for p in row) for row in head.pattern])


def _offset(head: Head, offset: int) -> float:
    places = [(i, i + offset) for i in range(len(head.pattern)) if 0 <= i + offset < len(head.pattern)]
    seen = [place for place in places if head.seen[place]]
    return _mean([head.pattern[place] for place in seen]) if 2 * len(seen) >= len(head.pattern) else 0.0


def _distance(head: Head) -> float:
    return _mean(
        [
            sum(float(p) * abs(i - j) for j, p in enumerate(row)) / row.sum()
            for i, row in enumerate(head.pattern)
        ]
    )


def _spectrum(head: Head) -> Array:
    return np.asarray(np.linalg.svd(head.pattern, compute_uv=False), dtype=np.float64)


def _rank(head: Head) -> float:
    energy = _spectrum(head) ** 2
    return float(min(9, next(k for k in range(1, len(energy) + 1) if energy[:k].sum() >= 0.9 * energy.sum())))


def _mass_columns(head: Head) -> float:
    energy = sorted(((column**2).sum() for column in head.pattern.T), reverse=True)
    return float(next(k for k in range(1, len(energy) + 1) if sum(energy[:k]) >= 0.9 * sum(energy)))


def _rank_one_residual(head: Head) -> float:
    left, values, right = np.linalg.svd(head.pattern)
    nearest = values[0] * np.outer(left[:, 0], right[0])
    return _norm((head.pattern - nearest).ravel()) / _norm(head.pattern.ravel())


def _similarity(vectors: Array) -> float:
    count = len(vectors)
    return _mean([_cosine(vectors[t], vectors[u]) for t in range(count) for u in range(t)])


def _standardised(vectors: Array) -> Array:
    columns = [[(x - column.mean()) / column.std() for x in column] for column in vectors.T]
    return np.array(columns).T


def _share(one: Array, two: Array) -> float:
    return _mean([_norm(a) / (_norm(a) + _norm(b)) for a, b in zip(one, two, strict=True)])


def _turn(one: Array, two: Array) -> float:
    return 1 - _mean([_cosine(a, b) for a, b in zip(one, two, strict=True)])


def _token_rank(vectors: Array) -> float:
    values = np.linalg.svd(vectors, compute_uv=False)
    return float(np.exp(_entropy([float(s / values.sum()) for s in values]))) / min(vectors.shape)


def _centred(head: Head) -> Array:
    """Singular values of the pattern less the even one."""
    even = np.array([seen / seen.sum() for seen in head.seen])
    return np.asarray(np.linalg.svd(head.pattern - even, compute_uv=False), dtype=np.float64)


def _stable(vectors: Array) -> float:
    gram = vectors @ vectors.T
    return float((gram**2).sum() / np.linalg.norm(gram, 2) ** 2)


def _beyond(vectors: Array) -> Array:
    return vectors - vectors.mean(0)


def _composite(vectors: Array) -> float:
    return float(np.sqrt(np.linalg.norm(vectors, 1) * np.linalg.norm(vectors, np.inf)))


def _without(stream: Stream, vectors: Array) -> Array:
    return np.delete(vectors, stream.sinks, axis=0)


HEADS: dict[str, Callable[[Head], float]] = {
    "attention_entropy": lambda head: _entropy_over(head, []),
    "attention_entropy_without_sinks": lambda head: _entropy_over(head, head.sinks),
    "effective_keys": _effective_keys,
    "top_key_share": lambda head: _mean([max(row) / row.sum() for row in head.pattern]),
    "sink_mass": lambda head: _mean([sum(row[j] for j in head.sinks) for row in head.pattern]),
    "self_mass": lambda head: _mean([row[i] for i, row in enumerate(head.pattern)]),
    "previous_token_mass": lambda head: _mean([row[i] for i, row in enumerate(head.pattern[1:])]),
    "offset_mass": lambda head: max(_offset(head, offset) for offset in range(-8, 9)),
    "attention_distance": _distance,
    "sigma_1": lambda head: float(_spectrum(head)[0]),
    "sigma_2": lambda head: float(_spectrum(head)[1]),
    "spectral_gap": lambda head: float(_spectrum(head)[0] - _spectrum(head)[1]),
    "centred_sigma_1": lambda head: float(_centred(head)[0]),
    "centred_sigma_2": lambda head: float(_centred(head)[1]),
    "stable_rank": lambda head: float((head.pattern**2).sum() / np.linalg.norm(head.pattern, 2) ** 2),
    "attention_rank": _rank,
    "mass_columns": _mass_columns,
    "rank_one_residual": _rank_one_residual,
}

STREAMS: dict[str, Callable[[Stream], float]] = {
    "attention_share": lambda stream: _share(stream.attention, stream.mlp),
    "mlp_share": lambda stream: _share(stream.mlp, stream.attention),
    "block_influence": lambda stream: _turn(stream.before, stream.after),
    "attention_influence": lambda stream: _turn(stream.before, stream.before + stream.attention),
    "token_similarity": lambda stream: _similarity(stream.after),
    "token_similarity_standardised": lambda stream: _similarity(_standardised(stream.after)),
    "token_similarity_without_sink": lambda stream: _similarity(
        np.delete(stream.after, stream.sinks, axis=0)
    ),
    "token_effective_rank": lambda stream: _token_rank(stream.after),
    "token_stable_rank": lambda stream: _stable(stream.after),
    "token_stable_rank_without_sink": lambda stream: _stable(_without(stream, stream.after)),
    "mean_token_energy": lambda stream: (
        _norm(_without(stream, stream.after).mean(0)) ** 2
        / _mean([_norm(token) ** 2 for token in _without(stream, stream.after)])
    ),
    "token_residual": lambda stream: float(
        np.linalg.norm(_beyond(stream.after)) / np.linalg.norm(stream.after)
    ),
    "token_residual_1_inf": lambda stream: _composite(_beyond(stream.after)) / _composite(stream.after),
    "angle_exponent": lambda stream: float(
        np.log(
            (1 - _similarity(_without(stream, stream.after)))
            / (1 - _similarity(_without(stream, stream.before)))
        )
    ),
    "massive_activation": lambda stream: float(np.abs(stream.after).max() / np.median(np.abs(stream.after))),
}
