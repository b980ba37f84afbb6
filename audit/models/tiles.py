"""Attention by tiles of a family's own code: for what no fused kernel computes, such as soft caps and sink columns.

The family's function is given some rows of the queries at a time, and all keys. What is kept of each row is the
logarithm that its scores were normalised with; any part of the pattern is then made again from the family's scores.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from transformers import AttentionInterface, AttentionMaskInterface

from audit.bands import Band, Runs
from audit.models.attention import by_head
from audit.models.calls import ALL, Call, Cut, RowMask
from audit.models.fused import Fused
from audit.models.tracing import Tracer
from audit.patterns import TILE, Mask, Part, Recomputed

NAME = "attnaudit_tiles"


@dataclass(frozen=True)
class Rescored(Recomputed):
    """A pattern whose scores the family's function gives again, for all heads at once."""

    call: Call = field(kw_only=True)
    runs: Runs | None = field(kw_only=True)  # what each row sees; None where only `visible` can say it

    @property
    def together(self) -> bool:
        """True: asking for some heads only would cost as much as for all."""
        return True

    def mask(self, real: Tensor) -> Mask:
        """What is seen, given which rows are no padding, bool [batch, query]."""
        if self.runs is None:
            return super().mask(real)
        after = torch.arange(1, real.shape[1] + 1, device=real.device)
        return Band(real, self.shape[-1], causal=bool((self.runs.stop <= after).all()), runs=self.runs)

    def rows(self, which: Tensor, keys: int | None = None) -> Tensor:
        """The rows at `which` [batch, row] over the first so many keys, or all, [batch, head, row, key]."""
        found = [self._rows_of(slice(sample, sample + 1), rows) for sample, rows in enumerate(which)]
        seen = self.mask(torch.ones_like(self.normaliser[:, 0], dtype=torch.bool)).rows(which)
        return torch.where(seen, torch.cat(found), 0.0)[..., :keys]

    def _rows_of(self, sample: slice, rows: Tensor) -> Tensor:
        return (self._scored((sample, rows, ALL)) - self.normaliser[sample, :, rows, None]).exp()

    def _scores(self, part: Part) -> Tensor:
        return self._scored((part.samples, part.rows, part.keys))[:, part.heads]

    def _scored(self, cut: Cut) -> Tensor:
        call = self.call.of(cut)
        call = call._replace(value=call.value[..., :1])  # its output is not asked for
        return by_head(call.caught()[1].scores, len(call.query)).float()


class _Weighed(NamedTuple):
    """What rows come to."""

    output: Tensor  # as the family's function returns it, [batch, row, head, value_dim]
    heads: Tensor  # pattern @ value, of the same shape
    normaliser: Tensor  # log of what the exponentials of the scores were divided by, [batch, row, head]

    @classmethod
    def of(cls, call: Call) -> "_Weighed":
        """Rows over all keys; their patterns sum to less than 1 where the softmax has a column that is no key."""
        (output, found), batch = call.caught(), len(call.query)
        scores, pattern = by_head(found.scores, batch).float(), by_head(found.pattern, batch).float()
        normaliser = scores.logsumexp(-1) - pattern.sum(-1).log()
        return cls(output, by_head(found.output, batch).transpose(1, 2), normaliser.transpose(1, 2))

    @classmethod
    def joined(cls, parts: Iterator["_Weighed"], rows: int) -> "_Weighed":
        """All rows; written in place, since pieces kept between tiles would hold their freed memory apart."""
        first, start = next(parts), 0
        whole = cls(*(each.new_empty(len(each), rows, *each.shape[2:]) for each in first))
        for part in chain([first], parts):
            for every, some in zip(whole, part, strict=True):
                every[:, start : start + some.shape[1]] = some
            start += part.output.shape[1]
        return whole


@dataclass(frozen=True)
class Tiles:
    """An attention function for transformers: hands `tracer` what it computed, as one attention.

    Without a number of `rows`, as many at once as a tile holds. What fits into one tile is the family's own pass.
    """

    tracer: Tracer
    rows: int | None = None

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | RowMask | None = None,
        **more: Any,
    ) -> tuple[Tensor, None]:
        """Head outputs [batch, query, head, value_dim]."""
        function = sys.modules[type(module).__module__].eager_attention_forward
        call = Call(function, module, query, key, value, attention_mask, more)
        batch, heads, queries, keys = call.shape
        rows = self.rows or max(1, TILE // (batch * heads * keys))
        if rows >= queries:
            return call.over(slice(0, queries)).made()  # type: ignore[no-any-return] # a foreign function
        with _disable_current_modes():
            tiles = [slice(row, min(queries, row + rows)) for row in range(0, queries, rows)]
            return self._handed(call, tiles), None

    def _handed(self, call: Call, tiles: Sequence[slice]) -> Tensor:
        """The head outputs, after the tracer has seen what was computed."""
        parts = (_Weighed.of(call.over(rows)) for rows in tiles)
        weighed, runs = _Weighed.joined(parts, tiles[-1].stop), _runs(call, tiles)
        source = Rescored(
            query=call.query,
            key=call.key[:, :: self.tracer.repetitions(call.key)],  # each head once
            normaliser=weighed.normaliser.transpose(1, 2),
            scale=1.0,
            causal=False,
            visible=None if runs else torch.cat([call.over(rows).visible for rows in tiles], 2),
            call=call._replace(mask=None) if isinstance(call.mask, RowMask) else call,
            runs=runs,
        )
        fused = Fused(source, source.shape[1] // source.key.shape[1])
        self.tracer.weighed(fused, call.value, weighed.heads.transpose(1, 2))
        self.tracer.follow(weighed.output, weighed.heads)
        return weighed.output


def _runs(call: Call, tiles: Sequence[slice]) -> Runs | None:
    """The keys that each row sees; None where some row sees them with gaps, or not all heads see the same."""
    found = [Runs.of(call.over(rows).visible) for rows in tiles]
    in_runs = [runs for runs in found if runs is not None]
    if len(in_runs) < len(found):
        return None
    return Runs(*(torch.cat(each, 1) for each in zip(*in_runs, strict=True)))


class _Here(threading.local):
    tiles: Tiles | None = None  # of the pass that runs in this thread


_HERE = _Here()


@contextmanager
def tiling(tiles: Tiles) -> Iterator[None]:
    """`tiles` for the pass of this thread, for as long as it lasts."""
    _HERE.tiles = tiles
    try:
        yield
    finally:
        _HERE.tiles = None


@contextmanager
def known() -> Iterator[None]:
    """The name under which families find tiles and their mask, for as long as it lasts."""
    attentions, masks = AttentionInterface._global_mapping, AttentionMaskInterface._global_mapping  # noqa: SLF001 - nothing public takes one out again
    if NAME in attentions:  # whoever entered it takes it out
        yield
        return
    attentions[NAME], masks[NAME] = _attend, RowMask
    try:
        yield
    finally:
        del attentions[NAME], masks[NAME]


def _attend(*args: Any, **kwargs: Any) -> Any:
    assert _HERE.tiles is not None  # noqa: S101 - only passes by tiles ask for them
    return _HERE.tiles(*args, **kwargs)
