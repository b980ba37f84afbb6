"""Everything that metrics read of a pattern row by row and key by key, gathered in one walk over its tiles.

Sums within a tile run in the precision of the pattern, sums over tiles in float64. Spectra need a pattern many times:
where they are wanted, the tiles of some heads are kept until these are decomposed.
"""

import math
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor

from audit.patterns import Mask, Part, Source, Tile, parts
from audit.spectra import HELD, Held, Spectrum, decompose

NEAR = 8  # offsets up to which the mass on a diagonal is summed
FAR = 32  # tokens beyond which a key is far


class Strong(NamedTuple):
    """The columns of keys that receive more than a given share of the rows that see them."""

    at: Tensor  # int64 [column, 3]: sample, head, key
    mass: Tensor  # [column, query]


class Gathered(NamedTuple):
    """Sums over the pattern of one layer, float64; a row of padding counts nowhere."""

    total: Tensor  # of each row, [batch, head, query]
    logarithms: Tensor  # of p log p
    squares: Tensor
    largest: Tensor
    distances: Tensor  # of p |i - j|, tokens
    far: Tensor  # of what lies more than `FAR` tokens away
    scores: Tensor | None  # of the scores, up to a constant of each row
    squared_scores: Tensor | None
    own: Tensor  # p of row i on key i
    received: Tensor  # of each key, [batch, head, key]
    energy: Tensor  # of the squares of each key's column
    offsets: Tensor  # of each diagonal from -NEAR to NEAR, [batch, head, offset]
    strong: Strong
    spectrum: Spectrum | None = None  # where it was asked for and fitted


def gather(
    source: Source, mask: Mask, *, strong: float, witnesses: Tensor, spectral: bool = False
) -> Gathered:
    """One walk over the pattern.

    Args:
        source: the pattern.
        mask: what is seen of it.
        strong: the mean mass above which the column of a key is kept as it is.
        witnesses: the least number of rows that must see such a key, [batch].
        spectral: also decompose it, where the tiles that are made together (of one head at least) can all be kept.
    """
    sums, columns, spectra = _nothing(source), [], []
    pieces = parts(source, mask, held=HELD if spectral else None)
    groups = [list(group) for _, group in groupby(pieces, itemgetter(0, 1))]
    spectral = spectral and all(sum(map(_entries, group)) <= HELD for group in groups)
    for group in groups:
        held = []
        for part in group:
            tile = source.tile(part, mask)
            scratch = torch.empty_like(tile.pattern)  # one more tile, and not one for each product
            place = _Place.of(tile, ahead=0 if mask.causal else NEAR)
            _add_rows(sums, tile, scratch, place)
            _add_keys(sums, tile, scratch, place)
            columns.append(_strong(sums, tile, mask, strong=strong, witnesses=witnesses))
            if spectral:
                held.append((part.rows, part.keys, tile.pattern.flatten(0, 1)))
        if spectral:
            energy = sums.energy[group[0][:2]].sum(-1).flatten()
            spectra.append(decompose(Held(held), energy, *source.shape[2:]))
    return sums._replace(
        strong=Strong(*(torch.cat(each) for each in zip(*columns, strict=True))),
        spectrum=Spectrum.joined(spectra, source.shape) if spectral else None,
    )


def _entries(part: Part) -> int:
    return math.prod(each.stop - each.start for each in part)


def _nothing(source: Source) -> Gathered:
    batch, heads, queries, keys = source.shape
    scored = source.scored

    def zeros(length: int) -> Tensor:
        return torch.zeros(batch, heads, length, dtype=torch.float64, device=source.device)

    return Gathered(
        total=zeros(queries),
        logarithms=zeros(queries),
        squares=zeros(queries),
        largest=zeros(queries),
        distances=zeros(queries),
        far=zeros(queries),
        scores=zeros(queries) if scored else None,
        squared_scores=zeros(queries) if scored else None,
        own=zeros(queries),
        received=zeros(keys),
        energy=zeros(keys),
        offsets=zeros(2 * NEAR + 1),
        strong=Strong(torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, queries)),
    )


class _Place(NamedTuple):
    """What depends on where the rows and keys of a tile lie, and not on what it holds: the same in every layer."""

    key: Tensor  # counted from the first, [key]
    ahead: Tensor  # how far each row is behind the first key, [row]
    sign: Tensor  # -1 of rows before it
    meeting: slice | None  # rows among the keys, counted from the first row of the tile
    table: Tensor  # |i - j| of these, [row, key]
    near: slice | None  # rows that are not far from all of the keys
    beyond: Tensor  # 1 where they are far from one, [row, key]
    at: Tensor  # what lies near the diagonal in the flattened tile, [offset from -NEAR on, key]
    inside: Tensor  # whether that lies in the tile at all

    @classmethod
    def of(cls, tile: Tile, *, ahead: int) -> "_Place":
        """Of a tile whose diagonals are wanted up to offset `ahead`."""
        (*_, rows, keys), p = tile.part, tile.pattern
        return _placed((rows.start, rows.stop), (keys.start, keys.stop), ahead, p.dtype, p.device)


@lru_cache(maxsize=64)  # tiles: of up to 4,096 tokens
def _placed(
    rows: tuple[int, int], keys: tuple[int, int], ahead: int, dtype: torch.dtype, device: torch.device
) -> _Place:
    row, key = (torch.arange(*each, device=device) for each in (rows, keys))
    meeting, near = _within(slice(*rows), *keys), _within(slice(*rows), keys[0] - FAR, keys[1] + FAR)

    def apart(some: slice | None) -> Tensor:
        return (row[some or slice(0), None] - key).abs()

    offset = torch.arange(-NEAR, ahead + 1, device=device)[:, None]
    beside, last = key - offset - rows[0], len(row) - 1
    return _Place(
        key=(key - keys[0]).to(dtype),
        ahead=(row - keys[0]).to(dtype),
        sign=torch.where(row < keys[0], -1.0, 1.0).to(dtype),
        meeting=meeting,
        table=apart(meeting).to(dtype),
        near=near,
        beyond=(apart(near) > FAR).to(dtype),
        at=beside.clamp(0, last) * len(key) + key - keys[0],
        inside=(beside >= 0) & (beside <= last),
    )


def _add_rows(sums: Gathered, tile: Tile, scratch: Tensor, place: _Place) -> None:
    at, p = tile.part[:3], tile.pattern
    total = p.sum(-1)
    sums.total[at].add_(total)
    sums.logarithms[at].add_(torch.mul(p, tile.logarithm, out=scratch).sum(-1))
    largest = sums.largest[at]
    torch.maximum(largest, p.amax(-1).double(), out=largest)
    if tile.scores is not None and sums.scores is not None and sums.squared_scores is not None:
        sums.scores[at].add_(tile.scores.sum(-1))
        sums.squared_scores[at].add_(torch.linalg.vector_norm(tile.scores, dim=-1).square())
    _add_distances(sums, tile, total, place)


def _add_distances(sums: Gathered, tile: Tile, total: Tensor, place: _Place) -> None:
    """What depends on how far a key is; |i - j| needs a table only where rows and keys of a tile meet."""
    (*where, rows, _), p = tile.part, tile.pattern
    apart = (place.ahead * total - p @ place.key).mul_(place.sign)
    if place.meeting is not None:
        apart[..., place.meeting] = (p[..., place.meeting, :] * place.table).sum(-1)
    sums.distances[*where, rows].add_(apart)
    far = total.clone()
    if place.near is not None:
        far[..., place.near] = (p[..., place.near, :] * place.beyond).sum(-1)
    sums.far[*where, rows].add_(far)


def _within(rows: slice, start: int, stop: int) -> slice | None:
    """The part of those rows that lies between, counted from the first of them."""
    first, last = max(rows.start, start) - rows.start, min(rows.stop, stop) - rows.start
    return slice(first, last) if first < last else None


def _add_keys(sums: Gathered, tile: Tile, scratch: Tensor, place: _Place) -> None:
    (samples, heads, rows, keys), p = tile.part, tile.pattern
    squares = torch.mul(p, p, out=scratch)
    sums.squares[samples, heads, rows].add_(squares.sum(-1))
    sums.received[samples, heads, keys].add_(p.sum(-2))
    sums.energy[samples, heads, keys].add_(squares.sum(-2))
    near = torch.where(place.inside, tile.pattern.flatten(-2)[..., place.at], 0.0)
    sums.offsets[samples, heads, : near.shape[2]].add_(near.sum(-1))
    if own := _within(keys, rows.start, rows.stop):
        sums.own[samples, heads, keys.start + own.start : keys.start + own.stop] = near[..., NEAR, own]


def _strong(sums: Gathered, tile: Tile, mask: Mask, *, strong: float, witnesses: Tensor) -> Strong:
    samples, heads, rows, keys = tile.part
    seeing = mask.per_key[samples, :, keys]
    seeing = seeing if seeing.shape[1] == 1 else seeing[:, heads]
    received = sums.received[samples, heads, keys]
    enough = seeing >= witnesses[samples, None, None]
    found = ((received > strong * seeing.clamp_min(1)) & enough).nonzero()
    mass = tile.pattern.new_zeros(len(found), mask.real.shape[1])
    mass[:, rows] = tile.pattern.transpose(-2, -1)[found[:, 0], found[:, 1], found[:, 2]]
    start = torch.tensor([samples.start, heads.start, keys.start], device=found.device)
    return Strong(found + start, mass)
