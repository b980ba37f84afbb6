"""Attention patterns as they can be had: stored by a family's own code, or made again from queries and keys.

Either gives one tile of a pattern at a time, so that reading a layer never needs more than that in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

TILE = 2**20  # entries worked on at once: 4 MB in float32
KEYS = 64  # of a tile: enough for a product to be quick, and few beside the rows of a long sample


class Part(NamedTuple):
    """Some heads of some samples, some rows, some keys."""

    samples: slice
    heads: slice
    rows: slice
    keys: slice


class Tile(NamedTuple):
    """A part of a pattern, [sample, head, row, key]; all three are 0, or no number, where a row does not see the key."""

    part: Part
    pattern: Tensor
    logarithm: Tensor  # natural, of the pattern
    scores: Tensor | None  # up to a constant of each row


@dataclass(frozen=True)
class Mask:
    """Which keys each row may see; rows of padding see none."""

    real: Tensor  # bool [batch, query]
    keys: int
    causal: bool = False  # no row sees a key after itself
    visible: Tensor | None = None  # bool [batch or 1, head or 1, query, key]; None: all that `causal` allows

    @cached_property
    def every(self) -> Tensor:
        """The pairs that count, bool [batch, head or 1, query, key]."""
        return self.shown & self.real[:, None, :, None]

    @cached_property
    def shown(self) -> Tensor:
        """The keys that are visible, bool [batch or 1, head or 1, query, key], rows of padding among them."""
        if self.visible is not None:
            return self.visible
        ones = torch.ones(1, 1, self.real.shape[1], self.keys, dtype=torch.bool, device=self.real.device)
        return ones.tril() if self.causal else ones

    @cached_property
    def per_row(self) -> Tensor:
        """Number of keys each row sees, int64 [batch, head or 1, query]."""
        if not self._plain:
            return self.every.sum(-1)
        rows = torch.arange(1, self.real.shape[1] + 1, device=self.real.device)
        found = rows.clamp_max(self.keys) if self.causal else torch.full_like(rows, self.keys)
        return found.expand(len(self.real), 1, -1)

    @cached_property
    def per_key(self) -> Tensor:
        """Number of rows that see each key, int64 [batch, head or 1, key]."""
        if not self._plain:
            return self.every.sum(-2)
        rows, keys = self.real.shape[1], torch.arange(self.keys, device=self.real.device)
        found = (rows - keys).clamp_min(0) if self.causal else torch.full_like(keys, rows)
        return found.expand(len(self.real), 1, -1)

    def along(self, offsets: Sequence[int]) -> Tensor:
        """Number of rows that see the key at each offset from themselves, int64 [batch, head or 1, offset]."""
        if not self._plain:
            return torch.stack([self.every.diagonal(offset, -2, -1).sum(-1) for offset in offsets], -1)
        rows = self.real.shape[1]
        pairs = [
            0 if self.causal and offset > 0 else max(0, min(rows, self.keys - offset) - max(0, -offset))
            for offset in offsets
        ]
        return torch.tensor(pairs, device=self.real.device).expand(len(self.real), 1, -1)

    def seeing(self, at: Tensor) -> Tensor:
        """Which rows see the key of each (sample, head, key) in `at` [column, 3], bool [column, query]."""
        sample, head, key = at.T
        if not self._plain:
            every = self.every.transpose(-2, -1)
            return every[sample, head.clamp_max(every.shape[1] - 1), key]
        rows = torch.arange(self.real.shape[1], device=at.device)
        return rows >= key[:, None] if self.causal else torch.ones_like(rows >= key[:, None])

    def rows(self, which: Tensor) -> Tensor:
        """The keys that the rows at `which` [batch, row] see, bool [batch, head or 1, row, key]."""
        if self._plain and not self.causal:
            return torch.ones(*which.shape, self.keys, dtype=torch.bool, device=which.device)[:, None]
        if self._plain:
            return (torch.arange(self.keys, device=which.device) <= which[..., None])[:, None]
        return self.every.gather(2, which[:, None, :, None].expand(-1, self.every.shape[1], -1, self.keys))

    def rows_of(self, keys: slice) -> slice:
        """The rows that may see one of those keys."""
        return slice(keys.start if self.causal else 0, self.real.shape[1])

    def hidden(self, part: Part) -> tuple[slice, Tensor] | None:
        """Which rows of a part have keys that they do not see, and those keys; None where all see all."""
        if self._plain:
            last = min(part.keys.stop, part.rows.stop)
            if not self.causal or part.rows.start >= last:
                return None
            rows = torch.arange(part.rows.start, last, device=self.real.device)
            keys = torch.arange(part.keys.start, part.keys.stop, device=self.real.device)
            return slice(0, len(rows)), keys > rows[:, None]
        every = self.every[part.samples, :, part.rows, part.keys]
        return slice(None), ~(every if every.shape[1] == 1 else every[:, part.heads])

    def hide(self, values: Tensor, hidden: tuple[slice, Tensor] | None) -> None:
        """Set to 0 what is hidden of [sample, head, row, key]; what is no number stays where no token is padding."""
        if hidden is None:
            return
        rows, which = hidden
        if self._plain:  # products of queries and keys: finite, unless the pass is broken
            values[:, :, rows].mul_(~which)  # filling takes six times as long
        else:
            values[:, :, rows].masked_fill_(which, 0.0)

    @cached_property
    def _plain(self) -> bool:
        return self.visible is None and bool(self.real.all())


@dataclass(frozen=True)
class Stored:
    """A pattern as it was computed, with what the softmax was taken of."""

    pattern: Tensor  # [batch, head, query, key]; 0 where not visible
    visible: Tensor  # bool [batch or 1, head or 1, query, key]
    scores: Tensor | None = None  # like it, scaled, soft-capped and biased; whatever where not visible

    @property
    def shape(self) -> torch.Size:
        """Batch, heads, queries, keys."""
        return self.pattern.shape

    @property
    def scored(self) -> bool:
        """Whether its scores are known."""
        return self.scores is not None

    @property
    def together(self) -> bool:
        """Whether a part costs as much for some heads as for all of them."""
        return False

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.pattern.device

    def mask(self, real: Tensor) -> Mask:
        """What is seen, given which rows are no padding, bool [batch, query]."""
        return Mask(real, self.shape[-1], visible=self.visible)

    def whole(self) -> "Stored":
        """All of it at once."""
        return self

    def tile(self, part: Part, mask: Mask) -> Tile:
        """One part of it."""
        seen = mask.every.expand(*self.shape)[part]
        pattern = torch.where(seen, self.pattern[part], 0.0).double()
        scores = None if self.scores is None else torch.where(seen, self.scores[part], 0.0).double()
        return Tile(part, pattern, torch.where(pattern == 0, 1.0, pattern).log(), scores)

    def rows(self, which: Tensor, keys: int | None = None) -> Tensor:
        """The rows at `which` [batch, row] over the first so many keys, or all, [batch, head, row, key]."""
        pattern = self.pattern[..., :keys]
        return pattern.gather(2, which[:, None, :, None].expand(-1, self.shape[1], -1, pattern.shape[3]))


@dataclass(frozen=True)
class Recomputed:
    """What a fused kernel never stored: the pattern of these queries and keys, exp(scores - log-sum-exp)."""

    query: Tensor  # [batch, head, query, head_dim]
    key: Tensor  # [batch, key_value_head, key, head_dim]
    normaliser: Tensor  # log of the sum of the exponentials of each row's scores, [batch, head, query]
    scale: float
    causal: bool
    added: Tensor | None = None  # to the scores: hides a key, or a bias, [batch or 1, head or 1, query, key]
    visible: Tensor | None = None  # bool, shaped like it

    @property
    def shape(self) -> torch.Size:
        """Batch, heads, queries, keys."""
        return torch.Size((*self.query.shape[:3], self.key.shape[2]))

    @property
    def scored(self) -> bool:
        """Whether its scores are known: they are what it is made from."""
        return True

    @property
    def together(self) -> bool:
        """Whether a part costs as much for some heads as for all of them."""
        return False

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.query.device

    def mask(self, real: Tensor) -> Mask:
        """What is seen, given which rows are no padding, bool [batch, query]."""
        return Mask(real, self.shape[-1], causal=self.causal, visible=self.visible)

    def whole(self) -> Stored:
        """All of it at once."""
        batch, _, queries, _ = self.shape
        mask = self.mask(torch.ones(batch, queries, dtype=torch.bool, device=self.query.device))
        part = Part(*(slice(0, size) for size in self.shape))
        scores = self._scores(part)
        scores = torch.where(mask.shown, scores, -torch.inf)
        pattern = (scores - self.normaliser.float()[..., None]).exp()
        return Stored(torch.where(mask.shown, pattern, 0.0), mask.shown.expand(batch, -1, -1, -1), scores)

    def tile(self, part: Part, mask: Mask) -> Tile:
        """One part of it."""
        logarithm = self._scores(part).sub_(self.normaliser[part[:3]].float()[..., None])
        hidden = mask.hidden(part)
        mask.hide(logarithm, hidden)  # before the exponential, which may be anything there
        pattern = logarithm.exp()
        mask.hide(pattern, hidden)
        return Tile(part, pattern, logarithm, logarithm)

    def rows(self, which: Tensor, keys: int | None = None) -> Tensor:
        """The rows at `which` [batch, row] over the first so many keys, or all, [batch, head, row, key]."""
        batch, heads, _, every = self.shape
        keys = every if keys is None else keys
        index = which[:, None, :].expand(-1, heads, -1)
        query = self.query.gather(2, index[..., None].expand(-1, -1, -1, self.query.shape[-1]))
        shared = self.key.shape[1]  # heads that share keys are one head with more rows
        query = (query.float() * self.scale).reshape(batch, shared, -1, query.shape[-1])
        scores: Tensor = (query @ self.key[:, :, :keys].float().mT).reshape(batch, heads, -1, keys)
        scores = scores - self.normaliser.gather(2, index).float()[..., None]
        if self.added is not None:
            added = self.added.expand(batch, -1, -1, -1)
            rows = which[:, None, :, None].expand(-1, added.shape[1], -1, every)
            return scores.add_(added.gather(2, rows)[..., :keys]).exp_()
        if not self.causal:
            return scores.exp_()
        seen = (torch.arange(keys, device=which.device) <= which[..., None])[:, None].to(scores.dtype)
        return scores.mul_(seen).exp_().mul_(seen)  # exp(-inf) takes long

    def _scores(self, part: Part) -> Tensor:
        # a tile mostly has fewer keys than rows
        key = self._key(part.samples, part.heads, part.keys) * self.scale
        scores: Tensor = self.query[part[:3]].float() @ key.mT
        if self.added is not None:
            wide = self.added.expand(*self.shape)
            scores += wide[part]
        return scores

    def _key(self, samples: slice, heads: slice, keys: slice) -> Tensor:
        """The keys of those query heads, float32."""
        times = self.shape[1] // self.key.shape[1]
        shared = self.key[samples, heads.start // times : -(-heads.stop // times), keys].float()
        return shared.repeat_interleave(times, 1)[:, heads.start % times :][:, : heads.stop - heads.start]


Source = Stored | Recomputed


def parts(source: Source, mask: Mask, *, keys: int = KEYS, held: int | None = None) -> Iterator[Part]:
    """Parts that cover all pairs that may be seen, each of at most `TILE` entries where one head's rows allow it.

    All parts of some heads of some samples come after each other; `held` is how many entries they may have together,
    where one head allows it.
    """
    batch, heads, queries, length = source.shape
    keys = min(keys, length, max(1, TILE // (heads * queries)) if source.together else length)
    columns = [slice(key, min(length, key + keys)) for key in range(0, length, keys)]
    tiles = [(rows, which) for which in columns if (rows := mask.rows_of(which)).start < rows.stop]
    at_once = TILE // max(1, queries * keys)  # heads
    if held is not None:
        each = sum((rows.stop - rows.start) * (which.stop - which.start) for rows, which in tiles)
        at_once = min(at_once, held // max(1, each)) if each <= held else at_once
    samples = max(1, at_once // heads)
    some = heads if source.together else max(1, min(heads, at_once))
    some = -(-heads // -(-heads // some))  # as many in the last as in the others
    for sample in range(0, batch, samples):
        for head in range(0, heads, some):
            of = slice(sample, min(batch, sample + samples)), slice(head, min(heads, head + some))
            for rows, which in tiles:
                yield Part(*of, rows, which)
