"""Attention by tiles of a family's own code: for what no fused kernel computes, such as soft caps and sink columns.

The family's function is given some rows of the queries at a time, and all keys. What is kept of each row is the
logarithm that its scores were normalised with; any part of the pattern is then made again from the family's scores.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from audit.bands import Band, Runs
from audit.models.attention import by_head
from audit.models.fused import MASKED, Fused
from audit.models.tracing import Attention, Tracer
from audit.patterns import TILE, Mask, Part, Recomputed

NAME = "attnaudit_tiles"
ALL = slice(None)

Cut = tuple[slice, slice | Tensor, slice]  # samples, rows, keys


class RowMask:
    """The mask of eager code, made for some rows at a time: a table of all pairs would be as large as a pattern."""

    def __init__(self, **asked: Any) -> None:
        self._asked = asked

    def of(self, rows: slice) -> Tensor | None:
        """What is added to the scores of those rows, [batch, 1, row, key]."""
        start = self._asked.get("q_offset", 0) + rows.start
        made: Tensor | None = eager_mask(
            **(self._asked | {"q_length": rows.stop - rows.start, "q_offset": start})
        )
        return made


class Call(NamedTuple):
    """One call of a family's attention function."""

    function: Callable[..., Any]
    module: nn.Module
    query: Tensor  # [batch, head, query, head_dim]
    key: Tensor  # [batch, key_value_head, key, head_dim]
    value: Tensor  # [batch, key_value_head, key, value_dim]
    mask: Tensor | RowMask | None  # added to the scores, [batch or 1, head or 1, query or 1, key]
    more: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Batch, heads, queries, keys."""
        batch, heads, queries, _ = self.query.shape
        return batch, heads, queries, self.key.shape[2]

    @property
    def visible(self) -> Tensor:
        """What the mask lets each row see, bool [batch, head or 1, query, key]."""
        batch, _, queries, keys = self.shape
        if not isinstance(self.mask, Tensor):
            return torch.ones(batch, 1, queries, keys, dtype=torch.bool, device=self.query.device)
        seen = self.mask if self.mask.dtype == torch.bool else ~(self.mask <= MASKED)
        return seen[..., :keys].expand(batch, -1, queries, -1)

    def over(self, rows: slice) -> "Call":
        """Some rows over all keys, with their mask made."""
        some = self.of((ALL, rows, ALL))
        return some._replace(mask=self.mask.of(rows)) if isinstance(self.mask, RowMask) else some

    def of(self, cut: Cut) -> "Call":
        """The same for some samples, rows and keys."""
        samples, rows, keys = cut
        return self._replace(
            query=self.query[samples, :, rows],
            key=self.key[samples, :, keys],
            value=self.value[samples, :, keys],
            mask=self._cut(self.mask, cut),
            more={name: self._cut(each, cut) for name, each in self.more.items()},
        )

    def made(self) -> Any:
        """What the family's function returns, first of all head outputs [batch, query, head, value_dim]."""
        return self.function(self.module, self.query, self.key, self.value, self.mask, **self.more)

    def caught(self) -> tuple[Tensor, Attention]:
        """Head outputs as they are returned, and the attention as it is recognised in the family's code."""
        found: list[Attention] = []

        def catch(attention: Attention) -> Tensor:
            found.append(attention)
            return attention.output

        tracer = Tracer(
            on_attention=catch,
            on_projection=lambda _number, _operand: None,
            on_softmax=lambda _result: None,
            on_addition=lambda _addition: None,
        )
        tracer.computed(self.query, self.key, self.value)
        with tracer:
            output = self.made()[0]
        return output, found[0]

    def _cut(self, given: Any, cut: Cut) -> Any:
        """That part of what has an entry for each row and key, or would have if it were expanded."""
        _, _, queries, keys = self.shape
        if not isinstance(given, Tensor) or given.dim() != 4 or given.shape[-1] < keys:
            return given
        if given.shape[-2] not in (1, queries):
            return given
        sizes = (len(given), given.shape[-2], keys)
        samples, rows, some = (each if size > 1 else ALL for each, size in zip(cut, sizes, strict=True))
        return given[samples, :, rows, :keys][..., some]


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

    def rows(self, which: Tensor) -> Tensor:
        """The rows at `which` [batch, row] over all keys, [batch, head, row, key]."""
        found = [self._rows_of(slice(sample, sample + 1), rows) for sample, rows in enumerate(which)]
        seen = self.mask(torch.ones_like(self.normaliser[:, 0], dtype=torch.bool)).rows(which)
        return torch.where(seen, torch.cat(found), 0.0)

    def _rows_of(self, sample: slice, rows: Tensor) -> Tensor:
        return (self._scored((sample, rows, ALL)) - self.normaliser[sample, :, rows, None]).exp()

    def _scores(self, part: Part) -> Tensor:
        return self._scored((part.samples, part.rows, part.keys))[:, part.heads]

    def _scored(self, cut: Cut) -> Tensor:
        call = self.call.of(cut)
        call = call._replace(value=call.value[..., :1])  # its output is not asked for
        return by_head(call.caught()[1].scores, len(call.query)).float()


class _Rows(NamedTuple):
    """What some rows come to."""

    output: Tensor  # as the family's function returns it, [batch, row, head, value_dim]
    weighed: Tensor  # pattern @ value, [batch, head, row, value_dim]
    normaliser: Tensor  # log of what the exponentials of the scores were divided by, [batch, head, row]
    runs: Runs | None

    @classmethod
    def of(cls, call: Call) -> "_Rows":
        """Rows over all keys; their patterns sum to less than 1 where the softmax has a column that is no key."""
        (output, found), batch = call.caught(), len(call.query)
        scores, pattern = by_head(found.scores, batch).float(), by_head(found.pattern, batch).float()
        normaliser = scores.logsumexp(-1) - pattern.sum(-1).log()
        return cls(output, by_head(found.output, batch), normaliser, Runs.of(call.visible))


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
        outputs, weighed, normalisers, runs = zip(*(_Rows.of(call.over(rows)) for rows in tiles), strict=True)
        output, whole = torch.cat(outputs, 1), torch.cat(weighed, 2)
        in_runs = all(each is not None for each in runs)
        source = Rescored(
            query=call.query,
            key=call.key[:, :: self.tracer.repetitions(call.key)],  # each head once
            normaliser=torch.cat(normalisers, 2),
            scale=1.0,
            causal=False,
            visible=None if in_runs else torch.cat([call.over(rows).visible for rows in tiles], 2),
            call=call._replace(mask=None) if isinstance(call.mask, RowMask) else call,
            runs=Runs(*(torch.cat(parts, 1) for parts in zip(*runs, strict=True))) if in_runs else None,
        )
        self.tracer.weighed(Fused(source, source.shape[1] // source.key.shape[1]), call.value, whole)
        self.tracer.follow(output, whole)
        return output


@contextmanager
def known(tiles: Tiles) -> Iterator[None]:
    """`tiles` under `NAME` to every family, and with it their mask, for as long as it lasts."""
    attentions, masks = AttentionInterface._global_mapping, AttentionMaskInterface._global_mapping  # noqa: SLF001 - nothing public takes one out again
    attentions[NAME], masks[NAME] = tiles, RowMask
    try:
        yield
    finally:
        del attentions[NAME], masks[NAME]
