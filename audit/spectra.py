"""The leading singular values of patterns, by iteration of a block of vectors, and the energy they are part of.

A random block of vectors is turned towards the leading directions by multiplying with the matrix and its transpose
in turn (Halko, Martinsson & Tropp 2011, sec. 4.5), its vectors kept apart between rounds by shifted Cholesky QR
(Fukaya et al. 2020) in float64: in float32 it breaks down where a head looks at one key only. What is still near
the next directions then is filtered by a Chebyshev polynomial (Zhou et al. 2006, alg. 3.1).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from audit.numerics import singular_values
from audit.patterns import TILE, Mask, Part, Source

VECTORS = 16
RELIABLE = 8  # of them: the others only quicken these
LONG = 256  # queries or keys beyond which a product costs more than decomposing all that was multiplied
ROUNDS = 4  # of products with short matrices before a decomposition, and
DEGREE = 3  # of the polynomial that those which need more are filtered by
FEW = 8  # vectors at once, and
STEPS = 5  # steps of the space that products with long ones build
TIMES = 4  # that those which need more go on from what was found
RESIDUAL = 3e-3  # by which the first two pairs of vectors may be off: an error of its square in the values
LEAST = 0.01  # of the first value, below which the second need not be known relative to itself
FLAT = 0.97  # of the second value: where the last of the block is nearly as large, they are not told apart
EXACT = 512  # queries or keys up to which such patterns are decomposed; beyond, their values are within 1%
SMALL_REST = 1e-3  # of the energy: less is lost when the first value is taken from the whole
ROWS = 256  # of a block of a pattern that is made again
HELD = 5 * 2**20  # entries of patterns kept between rounds: 20 MB in float32; of more they are made again
SHIFT = 1e-13  # of the squares of a block: above what float64 loses, far below what float32 can tell apart
TINY = 1e-30
DEPENDENT = 1e-6  # square of the length below which a direction is what rounding left where there is no more
ORTHONORMAL = 1e-4  # products of vectors off by less are put right by a series, to 1e-7
SHORT = 64  # queries or keys: up to here all singular values cost less

Block = tuple[slice, slice, Tensor]  # rows, keys, [matrix, row, key]
Blocks = Callable[[], Iterable[Block]]  # together all that is not 0


class Spectrum(NamedTuple):
    """Of each pattern, float64."""

    values: Tensor  # the leading singular values, largest first, [batch, head, value]
    energy: Tensor  # sum of the squares of all of them, [batch, head]
    rest: Tensor  # of all but the first

    @classmethod
    def joined(cls, parts: Sequence["Spectrum"], shape: Sequence[int]) -> "Spectrum":
        """Of all heads of all samples of a pattern of that shape, from those of some after each other."""
        values, energy, rest = (torch.cat(each) for each in zip(*parts, strict=True))
        batch, heads = shape[:2]
        return cls(values.view(batch, heads, -1), energy.view(batch, heads), rest.view(batch, heads))


def spectrum(source: Source, mask: Mask, energy: Tensor) -> Spectrum:
    """Leading singular values within 1e-3 of the first two; NaN for all of a pattern that is not finite."""
    batch, heads = source.shape[:2]
    found = [
        _spectrum(source, mask, energy, slice(sample, sample + samples), slice(head, head + some))
        for samples, some in [_group(source)]
        for sample in range(0, batch, samples)
        for head in range(0, heads, some)
    ]
    return Spectrum.joined(found, source.shape)


def _group(source: Source) -> tuple[int, int]:
    """Samples and heads worked on at once; some heads of one sample, or all heads of some samples."""
    batch, heads, queries, keys = source.shape
    samples = min(batch, HELD // (heads * queries * keys))
    if samples or source.together:
        return max(1, samples), heads
    return 1, max(1, min(heads, HELD // (queries * keys)))


def _spectrum(source: Source, mask: Mask, energy: Tensor, samples: slice, heads: slice) -> Spectrum:
    batch, every, queries, keys = source.shape
    where = slice(samples.start, min(samples.stop, batch)), slice(heads.start, min(heads.stop, every))
    some = max(1, min(ROWS, TILE // (every * keys))) if source.together else ROWS

    def blocks() -> Iterable[tuple[slice, slice, Tensor]]:
        for start in range(0, queries, some):
            rows = slice(start, min(start + some, queries))
            seen = slice(0, min(rows.stop, keys) if mask.causal else keys)
            yield rows, seen, source.tile(Part(*where, rows, seen), mask).pattern.flatten(0, 1)

    total = energy[where].flatten()
    fits = len(total) * queries * keys <= HELD
    return decompose(Held(list(blocks())) if fits else blocks, total, queries, keys)


def decompose(blocks: Blocks, energy: Tensor, rows: int, columns: int) -> Spectrum:
    """The spectrum of matrices given by their blocks and the sum of their squares, float64 [matrix]."""
    if min(rows, columns) > SHORT:
        return leading(blocks, energy, rows, columns)
    values = singular_values(_whole(blocks, rows, columns))
    squares = values.square()
    return Spectrum(values, squares.sum(-1), squares[..., 1:].sum(-1))


def leading(blocks: Blocks, energy: Tensor, rows: int, columns: int) -> Spectrum:
    """The same by iteration, of matrices for which it costs less."""
    values = energy.new_full((len(energy), VECTORS), torch.nan)
    rest = energy.clone()
    open_ = energy.isfinite().nonzero().flatten()
    some = blocks if len(open_) == len(energy) else _only(blocks, open_)
    width, rounds, steps = (FEW, 0, STEPS) if min(rows, columns) > LONG else (VECTORS, ROUNDS, 1)
    start = torch.randn(columns, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    right = start.to(next(iter(blocks()))[2]).expand(len(open_), -1, -1)
    right = _turned(some, right, rows, rounds)
    for _ in range(TIMES):
        if not len(open_):
            break
        found = _ritz(some, *_krylov(some, right, rows, steps))
        values[open_], rest[open_] = found.values, found.rest(some, energy[open_])
        go_on = found.open.nonzero().flatten()
        open_, some = open_[go_on], _only(some, go_on)
        if len(open_):
            right = _filtered(some, found, go_on, rows) if steps == 1 else found.right[go_on, :, :width]
    if len(open_) and min(rows, columns) <= EXACT:
        values[open_] = singular_values(_whole(some, rows, columns))[:, :VECTORS]
        rest[open_] = energy[open_] - values[open_, 0].square()
    return Spectrum(values, energy, rest)


def _only(blocks: Blocks, which: Tensor) -> Blocks:
    """The blocks of some of the matrices; copied once where they are held."""
    if isinstance(blocks, Held):
        return Held([(rows, keys, block[which]) for rows, keys, block in blocks.blocks] if len(which) else [])
    return lambda: ((rows, keys, block[which]) for rows, keys, block in blocks())


@dataclass(frozen=True)
class Held:
    """Blocks in memory."""

    blocks: list[tuple[slice, slice, Tensor]]

    def __call__(self) -> Iterable[tuple[slice, slice, Tensor]]:
        """The same ones every time."""
        return self.blocks


class _Ritz(NamedTuple):
    """What a block of vectors sees of a matrix."""

    values: Tensor  # largest first, [matrix, value]
    error: Tensor  # how far each pair of vectors is from a true one
    first: tuple[Tensor, Tensor]  # the vectors of the largest value, [matrix, row] and [matrix, column]
    right: Tensor  # [matrix, column, vector]

    @property
    def open(self) -> Tensor:
        """Which matrices need more: the pairs are off, or lie among too many alike for one to be told from the next."""
        values, error = self.values, self.error
        scale = torch.maximum(values, LEAST * values[:, :1])[:, :2]
        return (error > RESIDUAL * scale).any(-1) | (values[:, -1] > FLAT * values[:, 1])

    def rest(self, blocks: Blocks, energy: Tensor) -> Tensor:
        """Energy behind the first value; where it is small, summed by itself and not taken from the whole."""
        rest = energy - self.values[:, 0].square()
        small = (rest < SMALL_REST * energy).nonzero().flatten()
        if not len(small):
            return rest
        left, right = (vector[small] for vector in self.first)
        first = self.values[small, 0, None, None]
        total, covered = torch.zeros_like(rest[small]), torch.zeros_like(rest[small])
        for rows, keys, block in blocks():
            away = block[small].double() - first * left[:, rows, None] * right[:, None, keys]
            total += away.square().sum((-2, -1))
            covered += _size(left[:, rows]) * _size(right[:, keys])
        beside = (_size(left) * _size(right) - covered).clamp_min(0.0)  # where no block lies, all is 0
        rest[small] = total + beside * first[:, 0, 0].square()
        return rest


def _size(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1)


def _turned(blocks: Blocks, right: Tensor, rows: int, rounds: int) -> Tensor:
    """Vectors multiplied with the matrices and their transposes in turn, `rounds` times."""
    for round_ in range(rounds):
        right = _squared(blocks, _apart(right) if round_ else right, rows)
    return right


def _filtered(blocks: Blocks, found: _Ritz, which: Tensor, rows: int) -> Tensor:
    """The vectors found of some matrices, what lies below the least of their values damped against the rest."""
    right, values = found.right[which], found.values[which]
    settled = (found.error[which, :1] <= RESIDUAL * values[:, :1])[..., None]
    # once found the first is kept out: it may outgrow what float32 can hold beside it
    first = torch.where(settled, right[..., :1], 0.0)
    least = torch.maximum(values[:, -1:], LEAST * values[:, :1]).square().clamp_min(TINY)[..., None].to(right)
    before, now = right, right
    for degree in range(DEGREE):
        turned = _squared(blocks, now, rows) * (2.0 / least) - now
        turned -= first @ (first.mT @ turned)
        before, now = now, 2.0 * turned - before if degree else turned
    return torch.cat([torch.where(settled, first, now[..., :1]), now[..., 1:]], -1)


def _squared(blocks: Blocks, right: Tensor, rows: int) -> Tensor:
    return _back(blocks, _times(blocks, right, rows), right.shape[1])


def _krylov(blocks: Blocks, right: Tensor, rows: int, steps: int) -> tuple[Tensor, Tensor]:
    """Directions that the matrices turn `right` to in so many steps, and the matrices times them.

    Nearly orthonormal [matrix, column, vector] and [matrix, row, vector] (Musco & Musco 2015, alg. 2).
    """
    width = right.shape[-1]
    found = right.new_empty(*right.shape[:2], steps * width)
    times = right.new_empty(len(right), rows, steps * width)
    for step in range(steps):
        before, own = found[..., : step * width], slice(step * width, (step + 1) * width)
        if step:
            right = _apart(right - before @ (before.mT @ right))
            right = right - before @ (before.mT @ right)  # what rounding left of them
        right = _apart(right)
        found[..., own], times[..., own] = right, _times(blocks, right, rows)
        if step + 1 < steps:
            right = _back(blocks, times[..., own], right.shape[1])
    return found, times


def _ritz(blocks: Blocks, right: Tensor, times: Tensor) -> _Ritz:
    """Singular values and vectors within the space of `right`, and how far they are off from one more product."""
    own = _whitening(_gram(right))
    squares, turn = torch.linalg.eigh(own.mT @ _gram(times) @ own)
    squares, turn = squares[..., -VECTORS:].flip(-1), turn[..., -VECTORS:].flip(-1)  # largest first
    turn = own @ turn
    values = squares.clamp_min(0.0).sqrt()
    left = (times @ turn[..., :2].to(times)) / values[:, None, :2].clamp_min(TINY).to(times)
    right = right @ turn.to(right)
    away = _back(blocks, left, right.shape[1]).double() - right[..., :2].double() * values[:, None, :2]
    error = torch.linalg.vector_norm(away, dim=-2)
    return _Ritz(values, error, (left[..., 0].double(), right[..., 0].double()), right)


def _whitening(products: Tensor) -> Tensor:
    """What makes vectors with these products orthonormal, and 0 of those that there are not."""
    one = torch.eye(products.shape[-1], dtype=products.dtype, device=products.device)
    off = products - one
    found = one - off / 2 + 3 / 8 * (off @ off)  # of (1 + off)^(-1/2); decomposing takes ten times as long
    far = off.abs().amax((-2, -1)) > ORTHONORMAL
    if bool(far.any()):
        sizes, own = torch.linalg.eigh(products[far])
        found[far] = own * torch.where(sizes > DEPENDENT, sizes.rsqrt(), 0.0)[..., None, :]
    return found


def _apart(vectors: Tensor) -> Tensor:
    """The same space, its vectors turned away from each other: a QR by way of their products, in float64."""
    factor = torch.linalg.cholesky(_shifted(_gram(vectors)))
    one = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
    inverse: Tensor = torch.linalg.solve_triangular(factor, one, upper=False)
    return vectors @ inverse.mT.to(vectors)


def _shifted(products: Tensor) -> Tensor:
    """Products of vectors that can be decomposed where these are one and the same, as of a head with one key only."""
    shift = SHIFT * products.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(TINY)
    products.diagonal(dim1=-2, dim2=-1).add_(shift[:, None])
    return products


def _gram(vectors: Tensor) -> Tensor:
    wide = vectors.double()
    return wide.mT @ wide


def _times(blocks: Blocks, right: Tensor, rows: int) -> Tensor:
    """The matrices times [matrix, column, vector]."""
    product = right.new_zeros(len(right), right.shape[-1], rows)
    for some, keys, block in blocks():
        product[..., some].add_(right[:, keys].mT @ block.mT)
    return product.mT


def _back(blocks: Blocks, left: Tensor, columns: int) -> Tensor:
    """Their transposes times [matrix, row, vector]."""
    total = left.new_zeros(len(left), left.shape[-1], columns)
    for rows, keys, block in blocks():
        total[..., keys].add_(left[:, rows].mT @ block)  # the other way round it takes twice as long
    return total.mT


def _whole(blocks: Blocks, rows: int, columns: int) -> Tensor:
    """The matrices themselves, [matrix, row, column]."""
    parts = list(blocks())
    whole = parts[0][2].new_zeros(len(parts[0][2]), rows, columns)
    for some, keys, block in parts:
        whole[:, some, keys] = block
    return whole
