"""A call of a family's own attention function, and of that call as many samples, rows and keys as are wanted."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.masking_utils import eager_mask

from audit.models.fused import MASKED
from audit.models.tracing import Attention, Tracer

ALL = slice(None)

Cut = tuple[slice, slice | Tensor, slice]  # samples, rows, keys


class RowMask:
    """The mask of eager code, made for some rows at a time: a table of all pairs would be as large as a pattern."""

    def __init__(self, **asked: Any) -> None:
        self._asked = asked

    def of(self, rows: slice, device: torch.device) -> Tensor | None:
        """What is added to the scores of those rows, [batch, 1, row, key]; asked for once, for blocks on any device."""
        start = self._asked.get("q_offset", 0) + rows.start
        made: Tensor | None = eager_mask(
            **(self._asked | {"q_length": rows.stop - rows.start, "q_offset": start})
        )
        return None if made is None else made.to(device)


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
        return (
            some._replace(mask=self.mask.of(rows, self.query.device))
            if isinstance(self.mask, RowMask)
            else some
        )

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
