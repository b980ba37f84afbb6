"""What becomes of the tokens of an untrained configuration, layer by layer."""

import math

import numpy as np

from audit.results.trainability import Profile, Readout
from audit.theory.architecture import Architecture, Initialisation
from audit.theory.backward import backward, block_moments
from audit.theory.gradients import QueryGradient, query_gradient
from audit.theory.overlaps import RowMoments, row_entropy
from audit.theory.propagation import Paths, Trajectory, block
from audit.theory.quadrature import Array
from audit.theory.rows import Overlapping
from audit.theory.states import Dials, State, dials, tokens_of
from audit.theory.sublayers import score_law, sublayer_input
from audit.theory.width import expected_stable_rank

_NEAR = 0.99  # similarity at which the angle exponent is taken
_BLOCKS = 12  # at most so many blocks get an entropy and a gradient


def profile(taken: Paths) -> Profile:
    """What becomes of the tokens of a configuration, layer by layer, and of the gradients on their way back."""
    a, path = taken.architecture, taken.finite
    blocks = np.unique(np.linspace(1, a.depth, _BLOCKS).astype(np.int64)).tolist()
    units = {n: unit_query_gradient(a, taken.initialisation, _met(taken, n), taken.overlaps) for n in blocks}
    moments = block_moments(a, taken.setting.gains, path, taken.overlaps)
    return Profile(
        similarity=_plain(path.similarity),
        similarity_infinite=_plain(taken.infinite.similarity),
        similarity_centred=_plain(taken.centred.similarity),
        energy=_plain(path.energy),
        stable_rank=_plain(_stable_ranks(a, path)),
        stable_rank_centred=_plain(_stable_ranks(a, taken.centred)),
        anisotropy=tuple(float(each.uneven) for each in path.states),
        angle_exponent=_plain(angle_exponents(a, taken.setting.gains, path, taken.overlaps)),
        blocks=tuple(blocks),
        entropy_share=tuple(_entropy_share(taken, number) for number in blocks),
        per_token=_readout(taken, moments, units, alike=0.0),
        pooled=_readout(taken, moments, units, alike=1.0),
    )


def angle_exponents(
    architecture: Architecture, gains: Dials, path: Trajectory, overlaps: Overlapping
) -> Array:
    """Angle exponent of every block, [depth]: log of what it makes of a small 1 - rho; below 0 tokens draw together.

    After Cowsik et al. 2024 (arXiv 2403.02579), at similarity .99 and the energy the block really meets.
    """
    energy = path.energy[:-1]
    near = tokens_of(energy, energy * _NEAR)
    after = block(architecture, gains, near, overlaps)
    found: Array = np.log(np.maximum(1.0 - after.similarity, 1e-300) / (1.0 - _NEAR))
    return found


def unit_query_gradient(
    architecture: Architecture, initialisation: Initialisation, entering: State, overlaps: Overlapping
) -> QueryGradient:
    """E||dL/dW_Q||_F^2 of a block fed `entering`, for gradients at its heads of unit norm, all equal (c_g = 1).

    Others follow: |g|^2 (own + c_g shared).
    """
    a, i = architecture, initialisation
    gains = dials(a, i)
    law = score_law(a, gains, entering, overlaps)
    scale = 1.0 if a.score_scale is None else a.score_scale**2 * a.head_dim
    keys = a.width * i.sd_key**2 * scale
    if a.qk_norm:  # both norms divide by the energy of what they norm
        keys = scale / (float(entering.q) ** 2 * a.width * i.sd_query**2)
    return query_gradient(
        q=float(entering.q),
        p=float(entering.p),
        score_sd=float(law.spread[-1]),
        tokens=a.tokens,
        width=a.width,
        key_gain=keys,
        value_gain=float(gains.value),
        gradient_similarity=1.0,
        score_similarity=float(law.correlation[-1, -1]),
        anisotropy=float(entering.uneven),
    )


def _readout(
    taken: Paths, moments: tuple[RowMoments, ...], units: dict[int, QueryGradient], *, alike: float
) -> Readout:
    a = taken.architecture
    back = backward(a, taken.setting.gains, taken.finite, taken.overlaps, moments=moments, alike=alike)
    reaching = {block: back.heads[block - 1] for block in units}
    first, last = back.stream[0].own, back.stream[-1].own
    return Readout(
        stream=tuple(g.own for g in back.stream),
        alike=tuple(g.alike for g in back.stream),
        query=tuple(
            a.heads * a.head_dim * reaching[n].own * (unit.own + reaching[n].alike * unit.shared)
            for n, unit in units.items()
        ),
        exponent=math.log(max(first, 1e-300) / last) / a.depth,
    )


def _stable_ranks(architecture: Architecture, path: Trajectory) -> Array:
    return np.stack(
        [expected_stable_rank(each, architecture.tokens, architecture.width) for each in path.states]
    )


def _met(taken: Paths, number: int) -> State:
    """What block `number` (from 1) feeds its attention."""
    return sublayer_input(taken.architecture, taken.finite.states[number - 1])


def _entropy_share(taken: Paths, number: int) -> float:
    law = score_law(taken.architecture, taken.setting.gains, _met(taken, number), taken.overlaps)
    return row_entropy(float(law.spread[-1]), taken.architecture.tokens) / math.log(taken.architecture.tokens)


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())
