"""Attention by tiles of a family's own code: for what no fused kernel computes, such as soft caps and sink columns.

The family's function is given some rows of the queries at a time, and all keys. What is kept of each row is the
logarithm that its scores were normalised with; any part of the pattern is then made again from the family's scores.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from audit.models.attention import by_head
from audit.models.fused import MASKED, Fused
from audit.models.tracing import Attention, Tracer
from audit.patterns import TILE, Part, Recomputed

NAME = "attnaudit_tiles"
ALL = slice(None)

Cut = tuple[slice, slice | Tensor, slice]  # samples, rows, keys


class Call(NamedTuple):
    """One call of a family's attention function."""

    function: Callable[..., Any]
    module: nn.Module
    query: Tensor  # [batch, head, query, head_dim]
    key: Tensor  # [batch, key_value_head, key, head_dim]
    value: Tensor  # [batch, key_value_head, key, value_dim]
    mask: Tensor | None  # added to the scores, [batch or 1, head or 1, query or 1, key]
    more: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Batch, heads, queries, keys."""
        batch, heads, queries, _ = self.query.shape
        return batch, heads, queries, self.key.shape[2]

    @property
    def visible(self) -> Tensor | None:
        """What the mask lets each row see, bool [batch or 1, head or 1, query, key]."""
        if self.mask is None:
            return None
        seen = self.mask if self.mask.dtype == torch.bool else ~(self.mask <= MASKED)
        return seen[..., : self.key.shape[2]].expand(-1, -1, self.query.shape[2], -1)

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
        samples, rows, some = (
            each if size > 1 else ALL
            for each, size in zip(cut, (len(given), given.shape[-2], keys), strict=True)
        )
        return given[samples, :, rows, :keys][..., some] if given.shape[-2] in (1, queries) else given


@dataclass(frozen=True)
class Rescored(Recomputed):
    """A pattern whose scores the family's function gives again, for all heads at once."""

    call: Call = field(kw_only=True)

    @property
    def together(self) -> bool:
        """True: asking for some heads only would cost as much as for all."""
        return True

    def rows(self, which: Tensor) -> Tensor:
        """The rows at `which` [batch, row] over all keys, [batch, head, row, key]."""
        return torch.cat(
            [self._rows_of(slice(sample, sample + 1), rows) for sample, rows in enumerate(which)]
        )

    def _rows_of(self, sample: slice, rows: Tensor) -> Tensor:
        return (self._scored((sample, rows, ALL)) - self.normaliser[sample, :, rows, None]).exp()

    def _scores(self, part: Part) -> Tensor:
        return self._scored((part.samples, part.rows, part.keys))[:, part.heads]

    def _scored(self, cut: Cut) -> Tensor:
        call = self.call.of(cut)
        call = call._replace(value=call.value[..., :1])  # its output is not asked for
        return by_head(call.caught()[1].scores, len(call.query)).float()


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
        attention_mask: Tensor | None = None,
        **more: Any,
    ) -> tuple[Tensor, None]:
        """Head outputs [batch, query, head, value_dim]."""
        function = sys.modules[type(module).__module__].eager_attention_forward
        call = Call(function, module, query, key, value, attention_mask, more)
        batch, heads, queries, keys = call.shape
        rows = self.rows or max(1, TILE // (batch * heads * keys))
        if rows >= queries:
            return call.made()  # type: ignore[no-any-return] # a foreign function
        with _disable_current_modes():
            found = [_weighed(call.of((ALL, slice(row, row + rows), ALL))) for row in range(0, queries, rows)]
            output = torch.cat([each.output for each in found], 1)
            weighed, normaliser = (torch.cat(parts, 2) for parts in list(zip(*found, strict=True))[1:])
            source = self._source(call, normaliser)
            self.tracer.weighed(Fused(source, heads // source.key.shape[1]), value, weighed)
            self.tracer.follow(output, weighed)
        return output, None

    def _source(self, call: Call, normaliser: Tensor) -> Rescored:
        """Where the pattern is had from; of repeated keys each head once."""
        return Rescored(
            query=call.query,
            key=call.key[:, :: self.tracer.repetitions(call.key)],
            normaliser=normaliser,
            scale=1.0,
            causal=False,
            visible=call.visible,
            call=call,
        )


class _Weighed(NamedTuple):
    """What some rows come to."""

    output: Tensor  # as the family's function returns it, [batch, row, head, value_dim]
    weighed: Tensor  # pattern @ value, [batch, head, row, value_dim]
    normaliser: Tensor  # log of what the exponentials of the scores were divided by, [batch, head, row]


def _weighed(call: Call) -> _Weighed:
    """Rows over all keys; their patterns sum to less than 1 where the softmax has a column that is no key."""
    (output, found), batch = call.caught(), len(call.query)
    scores, pattern = by_head(found.scores, batch).float(), by_head(found.pattern, batch).float()
    return _Weighed(output, by_head(found.output, batch), scores.logsumexp(-1) - pattern.sum(-1).log())


@contextmanager
def known(tiles: Tiles) -> Iterator[None]:
    """`tiles` under `NAME` to every family, and with it the mask of eager code, for as long as it lasts."""
    attentions, masks = AttentionInterface._global_mapping, AttentionMaskInterface._global_mapping  # noqa: SLF001 - nothing public takes one out again
    attentions[NAME], masks[NAME] = tiles, eager_mask
    try:
        yield
    finally:
        del attentions[NAME], masks[NAME]
