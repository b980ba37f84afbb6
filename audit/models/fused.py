"""What a fused attention kernel took in and left behind, enough to make its pattern again."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from audit.patterns import Recomputed, Stored

# the kernels that give the log-sum-exp of each row beside their output; others are taken apart into products
FUSED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu}  # noqa: SLF001 - its name

# scores below are masked: families add -1e4, -1e9, the least finite number or minus infinity
MASKED = -9000.0


@dataclass(frozen=True)
class Fused:
    """One run of a fused kernel; `scores` and `pattern` bring all of them into memory."""

    source: Recomputed
    repetitions: int  # of each key head among those of the queries

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any], normaliser: Tensor, *, times: int) -> "Fused":
        """From the operator's arguments; each key head in them stands there `times`."""
        query, key, added = args[0], args[1], kwargs.get("attn_mask")
        scale = kwargs.get("scale")
        return cls(
            Recomputed(
                query=query,
                key=key[:, ::times],
                normaliser=normaliser,
                scale=1 / math.sqrt(query.shape[-1]) if scale is None else scale,
                causal=bool(args[4]) if len(args) > 4 else False,
                added=added,
                visible=None if added is None else ~(added <= MASKED),
            ),
            query.shape[1] // key[:, ::times].shape[1],
        )

    @property
    def scores(self) -> Tensor:
        """[batch, head, query, key]."""
        scores = self._whole.scores
        assert scores is not None  # noqa: S101 - what is made again is made from them
        return scores

    @property
    def pattern(self) -> Tensor:
        """[batch, head, query, key]."""
        return self._whole.pattern

    def weigh(self, value: Tensor) -> Callable[[Tensor], Tensor]:
        """What gives the head outputs of another pattern [batch * head, query, key]."""
        shape = self.source.shape

        def weigh(pattern: Tensor) -> Tensor:
            return pattern.reshape(shape).to(value.dtype) @ value.repeat_interleave(
                shape[1] // value.shape[1], 1
            )

        return weigh

    @cached_property
    def _whole(self) -> Stored:
        return self.source.whole()
